"""Run-steps per second of our engines and of other ways to train many small networks, in one run.

python -m benchmarks.throughput

All contenders are measured in turn in one run: on a shared machine only such ratios are meaningful.
"""

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import limits, machine, oracle
from benchmarks.cases import CPU, ROWS, Case, Contender, RowsKind, TrainWindow, dense_flops, state_bytes, with_steps
from benchmarks.contenders import CONTENDERS
from vecparity.task.config import TaskConfig
from vecparity.training import reference
from vecparity.training.runs import Run

GATE_RUNS = 3
GATE_STEPS = 10
GATE_TOLERANCE = 1e-5
SECONDS = 0.4  # approximate duration of a measurement

app = App(help=f"{__doc__}\nContenders: {', '.join(each.name for each in CONTENDERS)}.")
Several = Parameter(consume_multiple=True)


class GateError(Exception):
    """A contender does not train as the oracle does."""


def gate(contender: Contender, runs: Sequence[Run], config: TaskConfig, device: torch.device) -> float:
    """Trains the runs with a contender and some of them with the oracle, step by step.

    Returns:
        The largest difference of any step's loss, in nats.

    Raises:
        GateError: The difference is larger than the contract allows: speed without correct results means nothing.
    """
    train_window = contender.prepare(runs, config, 1, device)
    ours = torch.stack([train_window() for _ in range(GATE_STEPS)], dim=1)[:GATE_RUNS]
    some = runs[:GATE_RUNS]
    ends = reference.train(some, with_steps(config, GATE_STEPS), CPU, torch.float32, lambda closed: None)
    theirs = torch.tensor([end.curve.loss for end in ends], dtype=torch.float64)
    worst = float((ours - theirs).abs().max())
    if not worst <= GATE_TOLERANCE:
        raise GateError(f"losses differ from the oracle's by {worst:.1e}, more than {GATE_TOLERANCE}")
    return worst


def time_window(train_window: TrainWindow) -> float:
    began = time.perf_counter()
    train_window()
    return time.perf_counter() - began


def prepare(
    contender: Contender, runs: Sequence[Run], config: TaskConfig, device: torch.device
) -> tuple[TrainWindow, int]:
    """Prepares windows of similar duration for every contender, and warms up; also returns their run-steps."""
    trial = contender.prepare(runs, config, 5, device)
    trial()
    per_step = min(time_window(trial) for _ in range(2)) / 5
    num_steps = max(5, min(2_000, round(SECONDS / per_step)))
    train_window = contender.prepare(runs, config, num_steps, device)
    train_window()
    return train_window, num_steps * len(runs)


def measure(
    case: Case, contenders: Sequence[Contender], device: torch.device, pool: Pool | None, repeats: int
) -> dict[str, Any]:
    """Measures the rates of every contender and of the oracle in turn; with a pool, also of the sharded oracle.

    A contender that fails the gate or raises an error gets an entry in `problems` instead of a rate.
    """
    runs, config = case.make()
    cores = machine.cores()
    differences: dict[str, float] = {}
    prepared: dict[str, tuple[TrainWindow, int]] = {}
    peak_memory: dict[str, int | None] = {}
    problems: dict[str, str] = {}
    for contender in contenders:
        try:
            differences[contender.name] = gate(contender, runs, config, device)
        except Exception as error:
            problems[contender.name] = describe(error)
    for contender in contenders:
        if contender.name in problems:
            continue
        before = reset_peak_memory(device)
        try:
            prepared[contender.name] = prepare(contender, runs, config, device)
        except Exception as error:
            problems[contender.name] = describe(error)
        else:
            peak_memory[contender.name] = before and torch.cuda.max_memory_allocated(device) - before
    measure_peer: dict[str, Callable[[], float]] = {"oracle": lambda: oracle.one_process(runs[0], config, 500, device)}
    if pool is not None:
        oracle.sharded(pool, cores, runs[0], config, 10)  # warm-up: imports
        measure_peer["oracle sharded"] = lambda: oracle.sharded(pool, cores, runs[0], config, 500)
    rates: dict[str, list[float]] = {name: [] for name in (*measure_peer, *prepared)}
    for _ in range(repeats):
        for name, rate in measure_peer.items():
            rates[name].append(rate())
        for name, (train_window, run_steps) in prepared.items():
            if name in problems:
                continue
            try:
                rates[name].append(run_steps / time_window(train_window))
            except Exception as error:
                problems[name] = describe(error)
                del rates[name]
    return {
        "rows": case.rows,
        "n_features": case.n_features,
        "num_runs": case.num_runs,
        "gate_loss_difference": differences,
        "problems": problems,
        "run_steps_per_second": rates,
        "medians": {name: statistics.median(values) for name, values in rates.items()},
        "microseconds_per_step": {
            name: 1e6 * case.num_runs / statistics.median(values) for name, values in rates.items() if name in prepared
        },
        "peak_cuda_bytes": peak_memory,
        "dense_flops_per_run_step": dense_flops(config),
        "state_bytes_per_run_step": state_bytes(config),
    }


def ratios(rates: dict[str, list[float]]) -> dict[str, tuple[float, float, float]]:
    """Returns the rate of the first of our engines divided by that of every other, each measured in turn.

    Returns:
        The median, the lowest and the highest ratio, by the other's name.
    """
    ours = next((each.name for each in CONTENDERS if each.name in rates), None)
    found = {}
    for name, theirs in rates.items():
        if ours is not None and name != ours:
            of_turns = [mine / other for mine, other in zip(rates[ours], theirs, strict=True)]
            found[name] = (statistics.median(of_turns), min(of_turns), max(of_turns))
    return found


def summary(measured: dict[str, Any]) -> dict[str, Any]:
    """Returns what the last line says of a case: run-steps per second, and what failed."""
    kept = ("rows", "n_features", "num_runs", "problems")
    medians = {name: round(rate, 1) for name, rate in measured["medians"].items()}
    return {name: measured[name] for name in kept} | {"run_steps_per_second": medians}


def describe(error: Exception) -> str:
    """Describes in one line why a contender has no rate."""
    first_line = (str(error).splitlines() or [""])[0]
    return first_line if isinstance(error, GateError) else f"{type(error).__name__}: {first_line}"


def reset_peak_memory(device: torch.device) -> int | None:
    """Resets the peak memory of a CUDA device; returns the bytes in use then, without JAX's."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


@app.default
def main(
    *,
    device: Literal["cpu", "cuda"] = "cpu",
    n_features: Annotated[tuple[int, ...], Several] = (32, 50, 64),
    runs: Annotated[tuple[int, ...] | None, Several] = None,
    rows: Annotated[tuple[RowsKind, ...], Several] = ROWS,
    contender: Annotated[tuple[str, ...] | None, Several] = None,
    repeats: int = 5,
    output: str | None = None,
    output_dir: Path = machine.OWN,
) -> Path:
    """Measures, prints a table and writes ``<output-dir>/<output>.json``, again after each case.

    The last line is one of JSON, with the medians of all cases. The exit status is 1 if a contender failed.

    Args:
        device: The device that trains.
        n_features: Widths to measure.
        runs: Numbers of runs to stack; by default 1, 4, 15 and 100 on a CPU, 15, 100, 132 and 1000 on CUDA.
        rows: Kinds of rows.
        contender: Contenders to measure beside the oracle; by default all, on CUDA without the torch.func stacks.
        repeats: Measurements of each, in turn with its peers; medians are reported.
        output: Name of the JSON file; by default throughput, or throughput_cuda.
        output_dir: Directory of the JSON file.
    """
    console, progress = Console(), Console(stderr=True)
    known = [each.name for each in CONTENDERS]
    contender = contender or tuple(name for name in known if device == "cpu" or not name.startswith("torch."))
    if not set(contender) <= set(known):
        raise SystemExit(f"contender must be of {', '.join(known)}, got {', '.join(contender)}")
    on = torch.device(device)
    runs = runs or ((1, 4, 15, 100) if device == "cpu" else (15, 100, 132, 1000))
    chosen = []
    for each in CONTENDERS:
        if each.name not in contender:
            continue
        if reason := each.why_not(on):
            progress.print(f"{each.name} is left out: {reason}")
        else:
            chosen.append(each)
    machine_limits = limits.measure(on)
    peak_flops, bandwidth = machine_limits.get("peak_flops"), machine_limits["copy_bytes_per_second"]
    cases = [Case(kind, n, count) for kind in rows for n in n_features for count in runs]
    table = Table("rows", "N", "runs", title="run-steps per second (medians of measurements in one run)")
    peers = ("oracle", "oracle sharded") if device == "cpu" else ("oracle",)
    columns = (*peers, *(each.name for each in chosen))
    for column in columns:
        table.add_column(column, justify="right")
    spread = Table("rows", "N", "runs", "against", title="our first engine's rate, divided by that of others")
    for column in ("median", "lowest", "highest", "dense flops", "state"):
        spread.add_column(column, justify="right")
    failed: dict[str, None] = {}
    said: list[str] = []
    output = output or ("throughput" if device == "cpu" else "throughput_cuda")
    measured: list[dict[str, Any]] = []
    content = {"machine": machine.describe(), "limits": machine_limits, "repeats": repeats, "measured": measured}
    sharding = multiprocessing.get_context("spawn").Pool(machine.cores()) if device == "cpu" else nullcontext()
    with sharding as pool:
        for case in track(cases, console=progress):
            measured.append(measure(case, chosen, on, pool, repeats))
            medians, problems = measured[-1]["medians"], measured[-1]["problems"]
            measured[-1]["share_of_limits"] = {
                name: {
                    "dense_flops": peak_flops and rate * measured[-1]["dense_flops_per_run_step"] / peak_flops,
                    "state_bytes": rate * measured[-1]["state_bytes_per_run_step"] / bandwidth,
                }
                for name, rate in medians.items()
            }
            path = machine.save(output, content, output_dir)
            rates = (f"{medians[name]:,.0f}" if name in medians else "failed" for name in columns)
            table.add_row(case.rows, str(case.n_features), str(case.num_runs), *rates)
            shares = [measured[-1]["share_of_limits"][name] for name in medians if name not in peers][:1]
            for name, of_turns in ratios(measured[-1]["run_steps_per_second"]).items():
                cells = [f"{ratio:.2f}" for ratio in of_turns]
                cells += ["" if share is None else f"{share:.0%}" for each in shares for share in each.values()]
                spread.add_row(case.rows, str(case.n_features), str(case.num_runs), name, *cells)
            failed |= dict.fromkeys(problems)
            said += [f"{case}: {name}: {problem}" for name, problem in problems.items()]
    console.print(table)
    console.print(spread)
    console.print("Dense flops and state: our engine's shares of this machine's limits (see the guide).")
    console.print("\n".join(said), soft_wrap=True, markup=False, highlight=False)
    console.print(f"written to {path}")
    print(json.dumps({"benchmark": "throughput", "file": str(path), "cases": [summary(each) for each in measured]}))
    if failed:
        count = sum(1 for each in measured if each["problems"])
        raise SystemExit(f"{count} of {len(cases)} cases have a contender that failed: {', '.join(failed)}")
    return path


if __name__ == "__main__":
    app(result_action="return_value")
