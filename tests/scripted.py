"""An engine that reports scripted figures, for tests of the decisions between windows."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from equivalence import CONFIG, make_runs

from vecparity.task.config import OptimizerConfig
from vecparity.task.dataset import Dataset
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.ensemble import Ensemble
from vecparity.training.runs import Run
from vecparity.training.schedule import Window

STOPPING = replace(
    CONFIG, max_steps=30, log_interval=5, min_steps_before_stop=10, early_stop_acc=0.9, early_stop_windows=2
)


class ScriptedEngine:
    """Reports what it is told to, by the run's first-row marker, and trains nothing."""

    name = "scripted"
    chunk_runs: int | None = None

    def __init__(self, accuracies: Sequence[Sequence[float]], diverges: dict[int, int] | None = None) -> None:
        self.accuracies = accuracies
        self.diverges = diverges or {}
        self.window = -1
        self.live: list[list[int]] = []

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        self.window += 1
        runs = [round(lr) for lr in ensemble.lr.tolist()]
        self.live.append(runs)
        batches = [min(window.num_steps, max(0, self.diverges.get(run, 10**6) - 1 - ensemble.step)) for run in runs]
        ensemble.step += window.num_steps
        num_batches = torch.tensor(batches)
        shares = torch.tensor([self.accuracies[run][self.window] for run in runs], dtype=torch.float64)
        return WindowMetrics(num_batches.double() / 2, shares * num_batches, num_batches)

    def test(self, params: torch.Tensor, test_sets: Sequence[Dataset], hidden_width: int) -> torch.Tensor:
        return torch.ones(len(params), dtype=torch.float64)


def numbered_runs(count: int) -> list[Run]:
    """Runs that a scripted engine can tell apart by their learning rate, which rounds to their number."""
    return [
        replace(run, optimizer=OptimizerConfig(lr=index + 0.25, wd=0.0, beta1=0.5, beta2=0.5))
        for index, run in enumerate(make_runs()[:count])
    ]
