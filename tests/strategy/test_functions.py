import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from vecparity import Strategy, TaskConfig, parity_labels
from vecparity.errors import UsageError
from vecparity.strategy import interface, parameters

CONFIG = TaskConfig(n_features=6, secret_size=2, hidden_width=4, max_train_examples=100)
RATE = 3e-3
ROWS = int(RATE * 0) + 40  # an expression of another
TABLE = torch.arange(3.0)
LAMBDA = lambda config: {"lr": RATE, "wd": 0, "beta1": 0.9, "beta2": 0.95}  # noqa: E731


class Scale:
    factor = math.sqrt(4)

    def by(self, value: float) -> float:
        return value * self.factor


def doubled(value: float) -> float:
    return Scale().by(value)


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    nn.init.constant_(model[0].weight, doubled(0.5))  # type: ignore[arg-type]


def my_dataset(secret: tuple[int, ...], config: TaskConfig, seed: int, *, rows: int = ROWS) -> Any:
    x = torch.randint(0, 2, (rows, config.n_features))
    return x, parity_labels(x, secret)


def get_optimizer_config(config: TaskConfig, *, lr: float = 1e-2) -> dict[str, float]:
    return {"lr": lr, "wd": float(TABLE[1]), "beta1": 0.9, "beta2": 0.95}


def made(**others: Callable[..., object]) -> Strategy:
    functions: dict[str, Any] = {
        "init_model": init_model,
        "make_dataset": my_dataset,
        "get_optimizer_config": get_optimizer_config,
    }
    return Strategy.from_functions(**functions | others)


def test_functions_and_all_that_they_use_become_a_source() -> None:
    strategy = made()
    assert strategy.origin == "functions"
    text = strategy.source.decode()
    assert "pytest" not in text and "def test_" not in text, "nothing but what they use"
    loaded = interface.load(strategy)
    ((params, optimizer),) = loaded.initialise(CONFIG, [1])
    assert params[:24].tolist() == [1.0] * 24
    assert (optimizer.lr, optimizer.wd) == (1e-2, 1.0)
    assert loaded.training_set(CONFIG, (0, 1), 1).num_examples == 40


def test_their_parameters_are_the_strategys() -> None:
    resolved = parameters.resolve(made(), {"lr": 0.5})
    assert resolved.values == {"lr": 0.5}, "rows has a default that is no literal"
    loaded = interface.load(made(), arguments=resolved.arguments)
    assert loaded.initialise(CONFIG, [1])[0][1].lr == 0.5


def test_values_are_written_as_they_are_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "RATE", 7e-3)
    uses = made(get_optimizer_config=named_rate)
    assert interface.load(uses).initialise(CONFIG, [1])[0][1].lr == 7e-3


def named_rate(config: TaskConfig) -> dict[str, float]:
    return {"lr": RATE, "wd": 0, "beta1": 0.9, "beta2": 0.95}


def closure(lr: float) -> Callable[..., object]:
    def get_optimizer_config(config: TaskConfig, *, wd: float = 0.25) -> dict[str, float]:
        return {"lr": lr, "wd": wd, "beta1": 0.9, "beta2": 0.95}

    return get_optimizer_config


@pytest.mark.parametrize("without_source", [LAMBDA, closure(RATE)])
def test_functions_without_a_source_are_pickled_and_it_is_said(without_source: Callable[..., object]) -> None:
    strategy = made(get_optimizer_config=without_source)
    assert strategy.origin == "pickle"
    loaded = interface.load(strategy)
    ((params, optimizer),) = loaded.initialise(CONFIG, [1])
    assert (params[0].item(), optimizer.lr) == (1.0, RATE)
    assert loaded.training_set(CONFIG, (0, 1), 1).num_examples == 40


def test_pickled_functions_keep_their_parameters() -> None:
    strategy = made(get_optimizer_config=closure(RATE))
    resolved = parameters.resolve(strategy, {"wd": 0.5})
    assert resolved.values == {"rows": 40, "wd": 0.5}
    assert interface.load(strategy, arguments=resolved.arguments).initialise(CONFIG, [1])[0][1].wd == 0.5


def test_what_cannot_be_pickled_either() -> None:
    generator = (i for i in range(3))

    def takes_one(config: TaskConfig) -> object:
        return next(generator)

    with pytest.raises(UsageError, match="expected functions that can be pickled"):
        made(get_optimizer_config=takes_one)
    with pytest.raises(UsageError, match="init_model must be a function, got 3"):
        made(init_model=3)  # type: ignore[arg-type]


def test_a_source_has_a_name_and_a_size() -> None:
    strategy = Strategy.from_source("x = 1", name="mine")
    assert (strategy.name, strategy.path, strategy.source, strategy.origin) == ("mine", "mine.py", b"x = 1", "text")
    for name in ("", "a/b", "..", "a\nb", "x" * 101):
        with pytest.raises(UsageError, match="name must be letters"):
            Strategy.from_source("", name=name)
    with pytest.raises(UsageError, match="at most 10 MiB"):
        Strategy.from_source(b" " * (11 << 20))
    with pytest.raises(UsageError, match="must be text or bytes, got 3"):
        Strategy.from_source(3)  # type: ignore[arg-type]
