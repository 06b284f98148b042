"""The host's work for each window of training, beside the engine: permutations, copies, metrics, metric lines.

python -m benchmarks.host

The engine does nothing, so all time is the host's. Seconds are CPU time, which other work on the machine does not
change. Each window is prepared in the background while the previous one trains, and on a GPU the loop also works while
the next window trains. Preparation and loop must each take less time than a window.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import torch
from cyclopts import App, Parameter
from jaxtyping import Float, Float64, Int32
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks import machine
from benchmarks.cases import CPU, Case
from vecparity.cli.metric_log import MetricLog
from vecparity.evaluation.callbacks import Followers
from vecparity.progress.table import ProgressTable
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.training import loop as training
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.ensemble import Ensemble
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule, Window

# Target time for a step of 100 runs on a GPU.
GOAL_SECONDS_PER_STEP = 13e-6
GOAL_RUNS = 100

app = App(help=__doc__)


class IdleEngine:
    """An engine that trains nothing and records the CPU time at every window."""

    name = "idle"
    chunk_runs: int | None = None

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        """Returns the metrics of runs that learn nothing."""
        self.marks.append((time.thread_time(), time.process_time()))
        ensemble.step += window.num_steps
        sums = torch.full((ensemble.num_runs,), 0.5 * window.num_steps, dtype=torch.float64)
        return WindowMetrics(sums, sums, torch.full((ensemble.num_runs,), window.num_steps))

    def test(
        self, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset], hidden_width: int
    ) -> Float64[Tensor, " run"]:
        """Returns the test accuracies of guessing."""
        return torch.full((len(params),), 0.5, dtype=torch.float64)


class PinnedSchedule(Schedule):
    """A schedule that reuses the same memory, as when windows are copied to a GPU. Nothing reads the windows here."""

    def _memory(self, size: int) -> Int32[Tensor, " size"]:
        if self._pinned is None or len(self._pinned) < size:
            self._pinned = torch.empty(size, dtype=torch.int32)
        return self._pinned[:size]


def measure(num_runs: int, num_windows: int) -> dict[str, Any]:
    """Trains with the idle engine, with and without the command's metric lines; returns the medians of all windows."""
    runs, config = Case("uniform", 64, num_runs).make()
    config = replace(config, max_steps=config.log_interval * num_windows)
    goal = config.log_interval * GOAL_SECONDS_PER_STEP * max(1.0, num_runs / GOAL_RUNS)
    loop, background = _windows(runs, config, lambda closed: None)
    with Path(os.devnull).open("w") as nowhere:
        followed, _ = _windows(runs, config, _followers(runs, config, lambda text: print(text, file=nowhere)))
    threads = torch.get_num_threads()
    seconds = {
        "loop": loop,
        "loop_with_metric_lines": followed,
        "background": background,
        "background_per_thread": background / threads,
    }
    return {
        "num_runs": num_runs,
        "n_features": config.n_features,
        "num_examples": runs[0].dataset.num_examples,
        "steps": config.log_interval,
        "cpu_seconds_per_window": seconds,
        "goal_seconds_per_window": goal,
        "share_of_goal": {name: value / goal for name, value in seconds.items()},
    }


def _windows(runs: Sequence[Run], config: TaskConfig, on_window: Callable[[WindowClosed], None]) -> tuple[float, float]:
    """Returns median CPU seconds of a full window: of the training thread, and of the preparing threads."""
    engine = IdleEngine()
    with patch.object(training, "Schedule", PinnedSchedule):
        training.train(runs, config, engine, [CPU], torch.float32, on_window)
    spent = torch.tensor(engine.marks[2:], dtype=torch.float64).diff(dim=0)  # the first windows are shorter
    return statistics.median(spent[:, 0].tolist()), statistics.median((spent[:, 1] - spent[:, 0]).tolist())


def _followers(runs: Sequence[Run], config: TaskConfig, write: Callable[[str], None]) -> Callable[[WindowClosed], None]:
    log = MetricLog([(load("isolated_cube"), 42)], "custom", "full", lambda lines: write("\n".join(lines)))
    followers = Followers([log, ProgressTable([config])])
    followers.begin(config)
    followers.prepared(runs, "idle")
    return followers.window


@app.default
def main(
    *,
    runs: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (100, 1000),
    windows: int = 30,
    output: str = "host",
) -> Path:
    """Measures, prints a table and writes ``benchmarks/own/<output>.json``.

    Args:
        runs: Numbers of runs.
        windows: Number of windows to train.
        output: Name of the JSON file.
    """
    measured = [measure(num_runs, windows) for num_runs in runs]
    table = Table("runs", title="CPU time of the host for a window, and its share of what the window is to take")
    for name in measured[0]["cpu_seconds_per_window"]:
        table.add_column(name.replace("_", " "), justify="right")
    for each in measured:
        shares = each["share_of_goal"]
        cells = [f"{1e3 * s:.2f} ms ({shares[name]:.0%})" for name, s in each["cpu_seconds_per_window"].items()]
        table.add_row(str(each["num_runs"]), *cells)
    console = Console()
    console.print(table)
    path = machine.save(output, {"machine": machine.describe(), "measured": measured})
    console.print(f"written to {path}")
    return path


if __name__ == "__main__":
    app(result_action="return_value")
