"""The benchmark of the host's work beside the engine, on few runs."""

from typing import Any

import pytest

from benchmarks import host
from vecparity.training import loop as training
from vecparity.training.schedule import Schedule


def test_shares_are_of_what_a_window_is_to_take() -> None:
    measured: dict[str, Any] = host.measure(4, 4)
    assert measured["goal_seconds_per_window"] == pytest.approx(0.00325)
    assert measured["cpu_seconds_per_window"].keys() == measured["share_of_goal"].keys()
    for name, seconds in measured["cpu_seconds_per_window"].items():
        assert measured["share_of_goal"][name] == pytest.approx(seconds / 0.00325)
    assert measured["cpu_seconds_per_window"]["loop"] > 0
    assert measured["cpu_seconds_per_window"]["background"] > 0
    assert training.Schedule is Schedule


def test_more_runs_may_take_longer() -> None:
    measured: dict[str, Any] = host.measure(130, 3)
    assert measured["goal_seconds_per_window"] == pytest.approx(1.3 * 0.00325)
