"""Sensitivity of a trace's last digits to rounding: one traced run, trained with more accurate gradients than float32.

python -m benchmarks.trace_sensitivity

Gradients are computed in float64 and rounded to float32, both unchanged and with noise of the size of float32's own
errors; AdamW is the vmap engine's. If a hidden unit comes within a few rounding errors of zero, its sign, and so the
rest of the run, depends on that noise. See LOG.md.
"""

import json
from pathlib import Path
from typing import Any

import torch
from cyclopts import App
from rich.console import Console

from benchmarks import machine
from benchmarks.cases import CPU
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import unpack
from vecparity.task.seeds import PublicSeeds
from vecparity.training.adamw import adamw_
from vecparity.training.engines.vmap import stacked_gradients
from vecparity.training.ensemble import Ensemble
from vecparity.training.runs import Run, make_runs
from vecparity.training.schedule import Schedule

TRACES = Path(__file__).parent.parent / "tests" / "golden" / "traces.json"

app = App(help=__doc__)


def largest_difference(run: Run, config: TaskConfig, losses: dict[int, float], noise: float, seed: int) -> float:
    """Trains the run with relative noise on its gradients; returns the largest loss difference in nats."""
    ensemble = Ensemble.start([run], config.hidden_width, CPU)
    gradients = stacked_gradients(config.n_features, config.hidden_width)
    generator = torch.Generator().manual_seed(seed)
    scratch, active = torch.empty(2, *ensemble.params.shape), torch.ones(1, 1, dtype=torch.bool)
    worst = 0.0
    windows = [1] * config.max_steps
    with Schedule.of([run], config.batch_size, windows) as schedule:
        for window in schedule:
            rows, lengths = window.indices[:, 0], window.lengths[:, 0].double()
            x = unpack(ensemble.data.bits[rows], config.n_features, torch.float64)
            is_row = (torch.arange(config.batch_size) < lengths[:, None]).double()
            y = ensemble.data.labels[rows].double()
            exact, loss, _ = gradients(ensemble.params.double(), x, y, is_row, lengths)
            grads = exact.float() * (1 + noise * torch.randn(exact.shape, generator=generator))
            by = ensemble.coefficients(1)
            adamw_(ensemble.params, ensemble.exp_avg, ensemble.exp_avg_sq, grads, by, 0, active, scratch)
            ensemble.step += 1
            worst = max(worst, abs(float(loss) - losses[ensemble.step]))
    return worst


@app.default
def main(*, case: str = "clean_noisy_cube_n64", run: int = 1, draws: int = 20, noise: float = 1e-7) -> Path:
    """Measures and writes ``benchmarks/own/trace_sensitivity.json``.

    Args:
        case: The traced evaluation.
        run: Index of one of the evaluation's four runs.
        draws: Number of draws of the noise.
        noise: Relative size of the noise; float32 gradients are about that far from float64 gradients.
    """
    content: dict[str, Any] = json.loads(TRACES.read_text())["cases"][case]
    config = TaskConfig(**content["trace"]["config"])
    chosen = make_runs([(interface.load(load(content["strategy"])), PublicSeeds(content["seed"]))], config)[run]
    place = [chosen.secret_index, chosen.order_index]
    losses = {row[2]: row[3] for row in content["trace"]["train"] if row[:2] == place}
    measured = {
        "case": case,
        "run": place,
        "noise": noise,
        "exact_gradients": largest_difference(chosen, config, losses, 0, 0),
        "noisy_gradients": [largest_difference(chosen, config, losses, noise, seed) for seed in range(draws)],
    }
    path = machine.save("trace_sensitivity", {"machine": machine.describe(), **measured})
    console = Console()
    console.print(measured)
    console.print(f"written to {path}")
    return path


if __name__ == "__main__":
    app(result_action="return_value")
