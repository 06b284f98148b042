from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from vecparity.errors import UsageError
from vecparity.task.config import (
    CONFIGURATIONS,
    NAMED_PROTOCOLS,
    PROTOCOLS,
    TaskConfig,
    protocol_name,
    protocol_of,
    task_config,
)


def test_presets_are_the_contracts_table() -> None:
    full = asdict(task_config())
    assert full == {
        "n_features": 32,
        "secret_size": 8,
        "hidden_width": 512,
        "batch_size": 128,
        "max_steps": 100_000,
        "max_train_examples": 12_800_000,
        "num_hidden_secrets": 10,
        "num_orderings": 10,
        "test_set_size": 16_384,
        "log_interval": 250,
        "min_steps_before_stop": 1_000,
        "early_stop_acc": 0.999,
        "early_stop_windows": 4,
    }
    published = {"max_steps": 30_000, "num_hidden_secrets": 5, "num_orderings": 3}
    assert asdict(task_config(protocol="published")) == full | published
    smoke = {
        "max_steps": 4_000,
        "num_hidden_secrets": 2,
        "num_orderings": 2,
        "test_set_size": 2_048,
        "log_interval": 100,
        "min_steps_before_stop": 400,
        "early_stop_windows": 3,
    }
    for protocol in ("full", "published"):
        assert asdict(task_config(protocol=protocol, smoke=True)) == full | smoke
    assert asdict(task_config("n64-k8")) == full | {"n_features": 64}


def test_overrides_win_over_presets() -> None:
    config = task_config("n50-k8", protocol="published", smoke=True, max_steps=7, n_features=40)
    assert (config.max_steps, config.n_features, config.num_orderings) == (7, 40, 2)


def test_numpy_numbers_become_plain_ones() -> None:
    config = TaskConfig(max_steps=np.int64(5), early_stop_acc=np.float32(0.5))  # type: ignore[arg-type]
    assert type(config.max_steps) is int
    assert type(config.early_stop_acc) is float


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("secret_size", 33, "secret_size must be at most n_features=32, got 33"),
        ("batch_size", 0, "batch_size must be at least 1, got 0"),
        ("max_steps", -1, "max_steps must be at least 0, got -1"),
        ("log_interval", 0, "log_interval must be at least 1, got 0"),
        ("hidden_width", 2.5, "hidden_width must be an integer, got 2.5"),
        ("num_orderings", True, "num_orderings must be an integer, got True"),
        ("test_set_size", "many", "test_set_size must be an integer, got 'many'"),
        ("early_stop_acc", float("nan"), "early_stop_acc must be a finite number, got nan"),
        ("num_hidden_secrets", 10**8, "at most 10518300, the number of subsets of 8 of 32 features, got 100000000"),
        ("steps", 3, "'steps' is not a setting; the settings are n_features, "),
    ],
)
def test_impossible_values_are_refused_by_name_and_value(field: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError) as error:
        task_config(**{field: value})
    assert said in str(error.value)


@pytest.mark.parametrize(("argument", "said"), [({"label": "n16"}, "config"), ({"protocol": "quick"}, "protocol")])
def test_unknown_presets_are_refused(argument: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said} must be one of .*, got "):
        task_config(**argument)


@pytest.mark.parametrize(
    ("max_steps", "log_interval", "closes"),
    [
        (1000, 250, [1, 250, 500, 750, 1000]),
        (600, 250, [1, 250, 500, 600]),
        (3, 1, [1, 2, 3]),
        (1, 250, [1]),
        (0, 250, []),
    ],
)
def test_windows_close_where_the_contract_says(max_steps: int, log_interval: int, closes: list[int]) -> None:
    lengths = list(TaskConfig(max_steps=max_steps, log_interval=log_interval).window_lengths())
    assert [sum(lengths[: i + 1]) for i in range(len(lengths))] == closes


def test_protocol_of() -> None:
    for protocol in ("full", "published"):
        for label in CONFIGURATIONS:
            assert protocol_of(task_config(label, protocol=protocol)) == protocol
    assert protocol_of(task_config("n50-k8", protocol="published", max_steps=29_999)) is None
    assert protocol_of(task_config("n50-k8", smoke=True)) is None
    assert protocol_of(task_config(n_features=40)) is None


def test_every_protocol_has_a_name_with_the_short_settings_and_without() -> None:
    named = [(protocol, smoke) for protocol in PROTOCOLS for smoke in (False, True)]
    assert sorted(NAMED_PROTOCOLS.values()) == sorted(named)
    for name, (protocol, smoke) in NAMED_PROTOCOLS.items():
        assert protocol_name(protocol, smoke=smoke) == name
