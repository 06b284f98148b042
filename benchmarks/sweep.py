"""Sweeps: the time of 32 cells, and a map of test accuracy against rows and width.

python -m benchmarks.sweep

The time is that of 32 cells of `random_rows` (learning rate, width and rows), each with 5 secrets and 3 orderings in
the smoke settings of N=32, K=8, contained, in an evaluator that begins with the sweep.

The map is of N=32, K=4 with the strategy's own values, with dense initial networks and with two inputs for each hidden
unit. More width needs fewer rows: Edelman et al., "Pareto Frontiers in Neural Feature Learning" (arXiv 2309.03800).
With other values of the optimiser it does not: those are measured beside it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclopts import App

from benchmarks import machine
from vecparity import Sweep, sweep

app = App(help=__doc__)

TIMED: dict[str, tuple[float, ...]] = {
    "lr": (1e-3, 1e-2),
    "hidden_width": (128, 256, 512, 1024),
    "num_examples": (1_000, 2_000, 4_000, 8_000),
}
WIDTHS = (32, 64, 128, 256, 512, 1024)
ROWS = (1_000, 1_500, 2_000, 2_500, 3_000, 4_000, 6_000, 8_000)
ACTIVE_INPUTS = (0, 2)
OTHER_VALUES = {"lr": 3e-3, "wd": 0.1}
MAPPED: dict[str, Any] = {"secret_size": 4, "max_steps": 10_000, "num_hidden_secrets": 10, "num_orderings": 1}
# Mean test accuracies above which a cell counts as learnt, and as learnt almost perfectly; chance is 0.5.
LEARNT = (0.9, 0.99)


def time_cells() -> dict[str, Any]:
    """Sweeps over 32 cells, all of which must have a score."""
    before = os.getloadavg()[0]
    swept = sweep("random_rows", TIMED, smoke=True, num_hidden_secrets=5, num_orderings=3)
    runs = swept.runs
    assert len(swept.cells) == 32 and len(runs) == 32 * 15 and runs["error"].isna().all()
    return {"seconds": swept.seconds, "load_before": before, "run_steps": int(runs["steps"].sum())}


def least_rows(swept: Sweep, accuracy: float) -> dict[str, dict[str, int | None]]:
    """Returns the smallest number of rows with a greater accuracy, by active inputs and width; None if none has it."""
    least: dict[str, dict[str, int | None]] = {}
    for record in swept.summary.to_dict("records"):
        by_width = least.setdefault(str(record["active_inputs"]), {})
        width = str(record["hidden_width"])
        by_width.setdefault(width, None)
        if record["test_accuracy"] > accuracy and by_width[width] is None:
            by_width[width] = record["num_examples"]
    return least


def measure_map() -> dict[str, Any]:
    """Sweeps over initialisation, width and rows, and checks that the widest networks need the fewest rows."""
    axes = {"active_inputs": ACTIVE_INPUTS, "hidden_width": WIDTHS, "num_examples": ROWS}
    swept = sweep("random_rows", axes, **MAPPED)
    least = {str(accuracy): least_rows(swept, accuracy) for accuracy in LEARNT}
    for by_width in (by_width for each in least.values() for by_width in each.values()):
        narrowest, widest = (by_width[str(width)] for width in (WIDTHS[0], WIDTHS[-1]))
        assert widest is not None, by_width
        assert narrowest is None or widest < narrowest, by_width
    columns = ["active_inputs", "hidden_width", "num_examples", "test_accuracy", "accuracy_low", "accuracy_high"]
    summary = swept.summary[[*columns, "share_solved", "mean_steps"]]
    cells = [{name: _plain(value) for name, value in row.items()} for row in summary.to_dict("records")]
    return {"settings": MAPPED, "seconds": swept.seconds, "least_rows": least, "cells": cells}


def measure_other_values() -> dict[str, Any]:
    """Sweeps over width and rows where the optimiser's values make width indifferent."""
    axes = {"active_inputs": ACTIVE_INPUTS[:1], "hidden_width": WIDTHS, "num_examples": ROWS}
    swept = sweep("random_rows", axes, params=OTHER_VALUES, **MAPPED)
    least = {str(accuracy): least_rows(swept, accuracy)["0"] for accuracy in LEARNT}
    return {"params": OTHER_VALUES, "seconds": swept.seconds, "least_rows": least}


def _plain(value: Any) -> Any:
    return None if value != value else value  # JSON has no NaN


@app.default
def main(*, repeats: int = 2, output: str = "sweep") -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``.

    Args:
        repeats: Sweeps of 32 cells, of which the fastest counts.
        output: Name of the JSON file.
    """
    timed = [time_cells() for _ in range(repeats)]
    for each in timed:
        print(f"32 cells x 15 runs: {each['seconds']:.1f} s, {each['run_steps']:,} run-steps", flush=True)
    mapped = measure_map()
    print(f"{len(mapped['cells'])} cells in {mapped['seconds']:.1f} s")
    for accuracy, least in mapped["least_rows"].items():
        for active, by_width in least.items():
            print(f"above {accuracy}, {active} active inputs: {_in_words(by_width)}")
    other = measure_other_values()
    for accuracy, by_width in other["least_rows"].items():
        print(f"above {accuracy}, {OTHER_VALUES}: {_in_words(by_width)}")
    best = min(each["seconds"] for each in timed)
    content = {
        "machine": machine.describe(),
        "best_seconds": best,
        "timed": timed,
        "map": mapped,
        "other_values": other,
    }
    return machine.save(output, content)


def _in_words(by_width: Mapping[str, int | None]) -> str:
    return ", ".join(f"width {width}: {rows or 'more than all'} rows" for width, rows in by_width.items())


if __name__ == "__main__":
    app(result_action="return_value")
