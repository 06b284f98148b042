"""The benchmark of sweeps: what it reads off a map."""

import pytest
from made import made

from benchmarks import sweep as benchmark
from benchmarks import sweep_table
from vecparity import Sweep, TaskConfig
from vecparity.strategy.source import load
from vecparity.tuning.results import Cell

# Accuracies by active inputs, width and rows.
MAP = {
    (0, 32): {1000: 0.5, 2000: 0.7, 4000: 0.95},
    (0, 1024): {1000: 0.6, 2000: 0.95, 4000: 0.995},
    (2, 32): {1000: 0.5, 2000: 0.5, 4000: 0.9},
    (2, 1024): {1000: 0.91, 2000: 1.0, 4000: 1.0},
}


def swept(accuracies: dict[tuple[int, int], dict[int, float]] = MAP) -> Sweep:
    cells = [
        Cell(
            {"active_inputs": active, "hidden_width": width, "num_examples": rows},
            made("random_rows", [[(100, accuracy)]] * 3),
        )
        for (active, width), by_rows in accuracies.items()
        for rows, accuracy in by_rows.items()
    ]
    axes = {"active_inputs": (0, 2), "hidden_width": (32, 1024), "num_examples": (1000, 2000, 4000)}
    return Sweep(load("random_rows"), axes, TaskConfig(), "full", 42, cells, 1.0)


def test_the_fewest_rows_that_are_learnt_from() -> None:
    assert benchmark.least_rows(swept(), 0.9) == {"0": {"32": 4000, "1024": 2000}, "2": {"32": None, "1024": 1000}}


def test_a_map_in_which_width_does_not_help_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "sweep", lambda *_, **__: swept())
    measured = benchmark.measure_map()
    assert measured["least_rows"]["0.9"]["0"] == {"32": 4000, "1024": 2000}
    assert measured["least_rows"]["0.99"] == {"0": {"32": None, "1024": 4000}, "2": {"32": None, "1024": 2000}}
    assert measured["cells"][0]["accuracy_low"] is None
    for widest in ({1000: 0.5, 2000: 0.5, 4000: 0.95}, {1000: 0.5, 2000: 0.5, 4000: 0.5}):
        worse = {**MAP, (0, 1024): widest}
        monkeypatch.setattr(benchmark, "sweep", lambda *_, worse=worse, **__: swept(worse))
        with pytest.raises(AssertionError):
            benchmark.measure_map()


def test_the_map_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "sweep", lambda *_, **__: swept())
    lines = sweep_table.map_table({"map": benchmark.measure_map(), "machine": {"cores": 2}})
    assert lines[0] == "| initial weights | width | 1,000 | 2,000 | 4,000 | above 0.9 | above 0.99 |"
    assert lines[2] == "| dense | 32 | 0.50 | 0.70 | 0.95 | 4,000 | none |"
    assert lines[4] == "| 2 active inputs | 32 | 0.50 | 0.50 | 0.90 | none | none |"
