"""Run-steps per second of our engines and of what else trains many small networks, in one run.

python -m benchmarks.throughput

Everything that is compared is measured in one run, in turn: on a shared machine only such ratios mean anything.
"""

import multiprocessing
import statistics
import time
from collections.abc import Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Annotated, Any

import torch
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import limits, machine, oracle
from benchmarks.cases import CPU, ROWS, Case, Contender, TrainWindow, dense_flops, state_bytes, with_steps
from benchmarks.contenders import CONTENDERS
from vecparity import reference
from vecparity.runs import Run
from vecparity.spec import TaskConfig

GATE_RUNS = 3
GATE_STEPS = 10
GATE_TOLERANCE = 1e-5
SECONDS = 0.4  # of a measurement, about

app = App(help=__doc__)
Several = Parameter(consume_multiple=True)


def gate(contender: Contender, runs: Sequence[Run], config: TaskConfig) -> float:
    """Trains the runs with a contender and some of them with the oracle, step by step.

    Returns:
        The largest difference of any step's loss, in nats.

    Raises:
        SystemExit: It is larger than the contract allows: a speed without the right answer means nothing.
    """
    train_window = contender.prepare(runs, config, 1)
    ours = torch.stack([train_window() for _ in range(GATE_STEPS)], dim=1)[:GATE_RUNS]
    some = runs[:GATE_RUNS]
    ends = reference.train(some, with_steps(config, GATE_STEPS), CPU, torch.float32, lambda closed: None)
    theirs = torch.tensor([end.curve.loss for end in ends], dtype=torch.float64)
    worst = float((ours - theirs).abs().max())
    if not worst <= GATE_TOLERANCE:
        raise SystemExit(
            f"{contender.name}: losses differ from the oracle's by {worst:.1e}, more than {GATE_TOLERANCE}"
        )
    return worst


def time_window(train_window: TrainWindow) -> float:
    began = time.perf_counter()
    train_window()
    return time.perf_counter() - began


def prepare(contender: Contender, runs: Sequence[Run], config: TaskConfig) -> tuple[TrainWindow, int]:
    """Makes windows that take about as long for every contender, and warms up; returns their run-steps too."""
    trial = contender.prepare(runs, config, 5)
    trial()
    per_step = min(time_window(trial) for _ in range(2)) / 5
    num_steps = max(5, min(2_000, round(SECONDS / per_step)))
    train_window = contender.prepare(runs, config, num_steps)
    train_window()
    return train_window, num_steps * len(runs)


def measure(case: Case, contenders: Sequence[Contender], pool: Pool, repeats: int) -> dict[str, Any]:
    """Rates of every contender and of the oracle, in turn, `repeats` times."""
    runs, config = case.make()
    cores = machine.cores()
    differences = {contender.name: gate(contender, runs, config) for contender in contenders}
    prepared = {contender.name: prepare(contender, runs, config) for contender in contenders}
    oracle.sharded(pool, cores, runs[0], config, 10)  # warm-up: imports
    rates: dict[str, list[float]] = {name: [] for name in ("oracle", "oracle sharded", *prepared)}
    for _ in range(repeats):
        rates["oracle"].append(oracle.one_process(runs[0], config, 500))
        rates["oracle sharded"].append(oracle.sharded(pool, cores, runs[0], config, 500))
        for name, (train_window, run_steps) in prepared.items():
            rates[name].append(run_steps / time_window(train_window))
    return {
        "rows": case.rows,
        "n_features": case.n_features,
        "num_runs": case.num_runs,
        "gate_loss_difference": differences,
        "run_steps_per_second": rates,
        "medians": {name: statistics.median(values) for name, values in rates.items()},
        "dense_flops_per_run_step": dense_flops(config),
        "state_bytes_per_run_step": state_bytes(config),
    }


@app.default
def main(
    *,
    n_features: Annotated[tuple[int, ...], Several] = (32, 50, 64),
    runs: Annotated[tuple[int, ...], Several] = (1, 4, 15, 100),
    contender: Annotated[tuple[str, ...], Several] = tuple(each.name for each in CONTENDERS),
    repeats: int = 5,
    output: str = "throughput",
) -> Path:
    """Measures, prints a table and writes ``benchmarks/results/<output>.json``.

    Args:
        n_features: Widths to measure.
        runs: Numbers of runs to stack.
        contender: What to measure beside the oracle.
        repeats: Measurements of each, in turn with its peers; medians are reported.
        output: Name of the JSON file.
    """
    console, progress = Console(), Console(stderr=True)
    known = {each.name for each in CONTENDERS}
    if not set(contender) <= known:
        raise SystemExit(f"contender must be of {', '.join(sorted(known))}, got {', '.join(contender)}")
    chosen = [each for each in CONTENDERS if each.name in contender]
    for each in chosen:
        if each.missing:
            progress.print(f"{each.name} is left out: {each.missing}")
    chosen = [each for each in chosen if not each.missing]
    peak_flops = limits.peak_flops()
    bandwidth = limits.copy_bandwidth()
    machine_limits = {"peak_flops": peak_flops, "copy_bytes_per_second": bandwidth}
    cases = [Case(rows, n, count) for rows in ROWS for n in n_features for count in runs]
    table = Table("rows", "N", "runs", title="run-steps per second (medians of measurements in one run)")
    for column in ("oracle", "oracle sharded", *(each.name for each in chosen)):
        table.add_column(column, justify="right")
    measured: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(machine.cores()) as pool:
        for case in track(cases, console=progress):
            measured.append(measure(case, chosen, pool, repeats))
            medians = measured[-1]["medians"].values()
            measured[-1]["share_of_limits"] = {
                name: {
                    "dense_flops": peak_flops and rate * measured[-1]["dense_flops_per_run_step"] / peak_flops,
                    "state_bytes": rate * measured[-1]["state_bytes_per_run_step"] / bandwidth,
                }
                for name, rate in measured[-1]["medians"].items()
            }
            table.add_row(case.rows, str(case.n_features), str(case.num_runs), *(f"{rate:,.0f}" for rate in medians))
    console.print(table)
    content = {"machine": machine.describe(), "limits": machine_limits, "repeats": repeats, "measured": measured}
    path = machine.save(output, content)
    console.print(f"written to {path}")
    return path


if __name__ == "__main__":
    app(result_action="return_value")
