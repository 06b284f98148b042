import threading
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from conftest import CPU

from vecparity import interface, preparation
from vecparity.containment.limits import Limits
from vecparity.errors import StrategyFailedError
from vecparity.names import AuditMode
from vecparity.preparation import Preparation, Source
from vecparity.runs import Initial
from vecparity.seeds import PublicSeeds
from vecparity.spec import Secret, TaskConfig
from vecparity.strategy import load

CONFIGS = [
    TaskConfig(n_features=n, secret_size=2, hidden_width=4, num_hidden_secrets=2, num_orderings=2, test_set_size=8)
    for n in (5, 6, 7)
]
SLOW = """
import time

def init_model(model, config):
    print("asked for", config.n_features)

def make_dataset(secret, config, seed):
    if config.n_features == 6:
        time.sleep(600)
    return torch.zeros(1, config.n_features), [0]

def get_optimizer_config(config):
    return dict(lr=1e-3, wd=0, beta1=0.9, beta2=0.9)
"""


def plan(chosen: str | Path, mode: AuditMode = "off") -> list[tuple[TaskConfig, list[Source]]]:
    return [(config, [Source(0, load(chosen), PublicSeeds(1), mode)]) for config in CONFIGS]


class Recorder:
    """Stands where a sandbox stands, and notes what it is asked for."""

    def __init__(self, *arguments: object) -> None:
        self._interface = interface.load(load("default_4096"))
        self.asked: list[tuple[str, int]] = []
        self.second_is_asked_for = threading.Event()
        recorders.append(self)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None: ...

    def kill(self) -> None: ...

    def initialise(self, config: TaskConfig, run_seeds: Sequence[int]) -> Sequence[Initial]:
        self.asked.append(("networks", config.n_features))
        return self._interface.initialise(config, run_seeds)

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> object:
        self.asked.append(("dataset", config.n_features))
        if config.n_features == 6:
            self.second_is_asked_for.set()
        return self._interface.training_set(config, secret, dataset_seed)


recorders: list[Recorder] = []


@pytest.mark.parametrize("mode", ["off", "strict"])
def test_all_networks_come_before_any_secret_is_shown(mode: AuditMode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "Sandbox", Recorder)
    with Preparation(plan("default_4096", mode), "none", Limits(), CPU) as prepared:
        runs = [each.runs for each in prepared]
    asked = [what for what, _ in recorders[-1].asked]
    assert asked == sorted(asked, reverse=True), "networks, then datasets"
    assert {n for _, n in recorders[-1].asked} == {5, 6, 7}
    assert [made[0].dataset.n_features for made in runs] == [5, 6, 7]


def test_the_next_configuration_is_prepared_while_one_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "Sandbox", Recorder)
    with Preparation(plan("default_4096"), "none", Limits(), CPU) as prepared:
        next(iter(prepared))
        assert recorders[-1].second_is_asked_for.wait(timeout=30)


def test_one_sandbox_for_each_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "Sandbox", Recorder)
    before = len(recorders)
    sources = [
        Source(index, load(name), PublicSeeds(seed), "off")
        for index, (name, seed) in enumerate(product(("default_4096", "multi_epoch"), (1, 2)))
    ]
    with Preparation([(config, sources) for config in CONFIGS], "none", Limits(), CPU):
        assert len(recorders) - before == 2


@pytest.mark.slow
def test_what_is_being_prepared_ends_when_it_is_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    with Preparation(plan(path), "none", Limits(), CPU) as prepared:
        next(iter(prepared))
        time.sleep(0.3)  # the second configuration's dataset is being made
        began = time.monotonic()
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_an_error_tells_what_was_printed(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    limits = Limits(strategy_seconds=5)  # far more than the quick calls take, on a busy machine too
    with Preparation(plan(path), "none", limits, CPU) as prepared:  # noqa: SIM117
        with pytest.raises(StrategyFailedError, match=r"hit the limit --strategy-seconds 5") as error:
            list(prepared)
    assert error.value.__notes__[0].splitlines() == [
        "What strategies had printed:",
        *(f"asked for {n}" for n in (5, 6, 7) for _ in range(4)),
    ]
