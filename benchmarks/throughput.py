"""Run-steps per second of every engine, against the sequential oracle in one process and in one process per core.

    python -m benchmarks.throughput

Everything that is compared is measured in one run, in turn: on a shared machine only such ratios mean anything.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Annotated, Any

import torch
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import machine
from vecparity import reference
from vecparity.engines.vmap import VmapEngine
from vecparity.ensemble import Ensemble
from vecparity.runs import Run, make_runs
from vecparity.schedule import Schedule
from vecparity.spec import TaskConfig, task_config
from vecparity.strategy import load
from vecparity.train import train

CPU = torch.device("cpu")
ROWS = ("uniform", "isolated_cube")
GATE_STEPS = 20
GATE_TOLERANCE = 1e-5

app = App(help=__doc__)


@dataclass(frozen=True)
class Case:
    """What is trained: the rows' kind, N, and the number of runs stacked."""

    rows: str
    n_features: int
    num_runs: int


def runs_of(case: Case) -> tuple[list[Run], TaskConfig]:
    """The benchmark's own runs; for uniform rows, the baseline's 4 096."""
    config = task_config(f"n{case.n_features}-k8", early_stop_acc=2)
    strategy = load("isolated_cube" if case.rows == "isolated_cube" else "default_4096")
    # Only the rows' bits matter to the speed, and the oracle's runs are the same ones.
    runs = make_runs([(strategy, 42)], replace(config, test_set_size=1), CPU)
    return runs[: case.num_runs], config


def gate(case: Case) -> float:
    """Trains a few runs with `vmap` and with the oracle.

    Returns:
        The largest difference of any step's loss, in nats.

    Raises:
        SystemExit: It is larger than the contract allows: a speed without the right answer means nothing.
    """
    runs, config = runs_of(replace(case, num_runs=min(case.num_runs, 5)))
    config = replace(config, max_steps=GATE_STEPS, log_interval=1)
    ours = train(runs, config, VmapEngine(), CPU, torch.float32, lambda closed: None)
    theirs = reference.train(runs, config, CPU, torch.float32, lambda closed: None)
    pairs = [zip(a.curve.loss, b.curve.loss, strict=True) for a, b in zip(ours, theirs, strict=True)]
    worst = max(abs(a - b) for pair in pairs for a, b in pair)
    if worst > GATE_TOLERANCE:
        raise SystemExit(f"{case}: vmap's losses differ from the oracle's by {worst:.1e}, more than {GATE_TOLERANCE}")
    return worst


def time_vmap(runs: list[Run], config: TaskConfig, num_steps: int) -> Callable[[], float]:
    """Prepares windows; each call trains the next and returns run-steps per second."""
    engine = VmapEngine()
    ensemble = Ensemble.start(runs, config.hidden_width, CPU)
    sizes, seeds = [run.dataset.num_examples for run in runs], [run.ordering_seed for run in runs]
    schedule = Schedule(sizes, seeds, config.batch_size, iter(lambda: num_steps, None))
    engine.advance(ensemble, next(schedule))  # warm-up: traces, allocates

    def measure() -> float:
        began = time.perf_counter()
        engine.advance(ensemble, next(schedule))
        return len(runs) * num_steps / (time.perf_counter() - began)

    return measure


def time_reference(run: Run, config: TaskConfig, num_steps: int) -> float:
    """Run-steps per second of the oracle, start-up and test aside (it is one network at a time, whatever the runs)."""
    marks: list[float] = []
    warm_up = min(100, num_steps)
    config = replace(config, max_steps=warm_up + num_steps, log_interval=warm_up)
    reference.train_run(run, config, CPU, torch.float32, lambda *window: marks.append(time.perf_counter()))
    # Windows close at 1, at multiples of the warm-up, and at the end.
    return num_steps / (marks[-1] - marks[1])


def _work_alone(run: Run, config: TaskConfig, num_steps: int) -> float:
    torch.set_num_threads(1)
    return time_reference(run, config, num_steps)


def time_sharded(pool: Pool, num_processes: int, run: Run, config: TaskConfig, num_steps: int) -> float:
    """Run-steps per second of one single-threaded oracle per core, all at once."""
    return sum(pool.starmap(_work_alone, [(run, config, num_steps)] * num_processes, chunksize=1))


@app.default
def main(
    *,
    n_features: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (32, 50, 64),
    runs: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (1, 4, 15, 100),
    repeats: int = 5,
    run_steps: int = 2_000,
    output: str = "throughput",
) -> Path:
    """Measures, prints a table and writes ``benchmarks/results/<output>.json``.

    Args:
        n_features: Widths to measure.
        runs: Numbers of runs to stack.
        repeats: Measurements of each engine, in turn with its peers; medians are reported.
        run_steps: Run-steps in each measurement.
        output: Name of the JSON file.
    """
    console = Console()
    cores = machine.describe()["cores"]
    cases = [Case(rows, n, count) for rows in ROWS for n in n_features for count in runs]
    table = Table("rows", "N", "runs", title="run-steps per second (medians; ratios of medians in one run)")
    for column in ("oracle", f"oracle x {cores} processes", "vmap", "against oracle", "against processes"):
        table.add_column(column, justify="right")
    measured: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        for case in track(cases, console=Console(stderr=True)):
            difference = gate(case)
            stacked, config = runs_of(case)
            measure_vmap = time_vmap(stacked, config, max(10, run_steps // case.num_runs))
            time_sharded(pool, cores, stacked[0], config, 100)  # warm-up: imports
            rates: dict[str, list[float]] = {"oracle": [], "oracle_sharded": [], "vmap": []}
            for _ in range(repeats):
                rates["oracle"].append(time_reference(stacked[0], config, run_steps // 2))
                rates["vmap"].append(measure_vmap())
                rates["oracle_sharded"].append(time_sharded(pool, cores, stacked[0], config, run_steps // 2))
            medians = {name: statistics.median(values) for name, values in rates.items()}
            ratios = {name: medians["vmap"] / medians[name] for name in ("oracle", "oracle_sharded")}
            measured.append(
                {
                    "rows": case.rows,
                    "n_features": case.n_features,
                    "num_runs": case.num_runs,
                    "gate_loss_difference": difference,
                    "run_steps_per_second": rates,
                    "medians": medians,
                    "vmap_against": ratios,
                }
            )
            table.add_row(
                case.rows,
                str(case.n_features),
                str(case.num_runs),
                *(f"{medians[name]:,.0f}" for name in ("oracle", "oracle_sharded", "vmap")),
                *(f"{ratio:.2f}x" for ratio in ratios.values()),
            )
    console.print(table)
    path = machine.save(output, {"machine": machine.describe(), "repeats": repeats, "measured": measured})
    console.print(f"written to {path}")
    return path


if __name__ == "__main__":
    app(result_action="return_value")
