"""An engine's kernels alone: gradients of the first step, microseconds a step, and the golden traces.

python -m benchmarks.kernels times cuda
python -m benchmarks.kernels traces cuda

On a GPU, CUDA events around a window measure time. The window is queued while the GPU is kept busy, so that the host's
own time does not count. On a CPU the cuda engine is emulated and triton interpreted, to check that everything works.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from cyclopts import App, Parameter
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from benchmarks import machine
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import OptimizerConfig, TaskConfig, task_config
from vecparity.task.dataset import unpack
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.task.seeds import PublicSeeds
from vecparity.training.engines.interface import Engine
from vecparity.training.engines.select import make_engine
from vecparity.training.ensemble import Ensemble
from vecparity.training.loop import train
from vecparity.training.runs import Run, make_runs
from vecparity.training.schedule import Schedule, Window

CudaEngineName = Literal["cuda", "triton", "vmap"]
DeviceName = Literal["cuda", "cpu"]
Several = Parameter(consume_multiple=True)

# Relative to the gradient's norm; torch's own float32 error is 2e-7.
GRADIENT_TOLERANCE = 1e-6
LOSS_TOLERANCE = 1e-5
GRADIENT_STRATEGIES = ("default_4096", "isolated_cube", "clean_noisy_cube")
TRACES = Path(__file__).parent.parent / "tests" / "golden" / "traces.json"
# A ReLU within 3e-7 of zero decides this run's 26th step (LOG.md): the rounding of sums decides its sign.
CHAOTIC = ("clean_noisy_cube_n64", 0, 1)
BUSY_CYCLES = 20_000_000  # GPU cycles, about 10 ms: longer than it takes to queue a window

app = App(help=__doc__)


def engine_of(name: CudaEngineName, device: torch.device) -> Engine:
    """Makes an engine for a device; on a CPU, its emulation or interpretation."""
    if device.type == "cpu" and name == "cuda":
        from emulated_cuda import engine  # in tests/

        return engine()
    if device.type == "cpu" and name == "triton":
        os.environ["TRITON_INTERPRET"] = "1"
    return make_engine(name, None)


def runs_of(strategy: str, config: TaskConfig, num_runs: int) -> list[Run]:
    """Returns the benchmark's own runs of a bundled strategy in order, repeated as often as needed."""
    made = make_runs([(interface.load(load(strategy)), PublicSeeds(42))], config)
    return [made[index % len(made)] for index in range(num_runs)]


def first_window(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> Window:
    with Schedule.of(runs, config.batch_size, [num_steps], device) as schedule:
        return next(schedule)


def gradient(run: Run, rows: Tensor, config: TaskConfig) -> Tensor:
    """Returns the gradient of a batch's mean loss in float64, from torch's own network."""
    params = run.params.double().requires_grad_()
    by_name = unflatten(params, parameter_shapes(config.n_features, config.hidden_width))
    x = unpack(run.dataset.bits[rows], config.n_features, torch.float64)
    hidden = torch.relu(x @ by_name["0.weight"].T + by_name["0.bias"])
    p = torch.sigmoid(hidden @ by_name["2.weight"][0] + by_name["2.bias"][0])
    (found,) = torch.autograd.grad(binary_cross_entropy(p, run.dataset.labels[rows].double()), params)
    return found


def first_gradient(
    engine: Engine, strategy: str, config: TaskConfig, num_runs: int, device: torch.device
) -> dict[str, Any]:
    """Returns the largest error of any run's first gradient against float64, relative to the gradient's norm."""
    optimizer = OptimizerConfig(lr=1e-3, wd=0.1, beta1=1e-12, beta2=0.9)  # exp_avg is the last gradient
    runs = [replace(run, optimizer=optimizer) for run in runs_of(strategy, config, num_runs)]
    ensemble, window = Ensemble.start(runs, config.hidden_width, device), first_window(runs, config, 1, device)
    engine.advance(ensemble, window)
    errors = []
    for index, (run, found) in enumerate(zip(runs, ensemble.exp_avg.double().cpu(), strict=True)):
        rows = window.indices[index, 0, : int(window.lengths[index, 0])].long().cpu()
        expected = gradient(run, rows, config)
        errors.append(float((found - expected).norm() / expected.norm()))
    worst = max(errors, key=nan_last)
    if worst <= GRADIENT_TOLERANCE:
        return {"relative_error": worst}
    return {"problem": f"{worst:.1e} from float64, more than {GRADIENT_TOLERANCE}"}


def nan_last(value: float) -> tuple[bool, float]:
    """Orders numbers so that NaN is the largest."""
    return value != value, value


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Returns the seconds that a device takes for queued work; on a GPU this excludes the host's own time."""
    if device.type == "cpu":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    torch.cuda._sleep(BUSY_CYCLES)
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize(device)
    return 1e-3 * float(begin.elapsed_time(end))


def step_times(
    engine: Engine, runs: Sequence[Run], config: TaskConfig, num_steps: int, repeats: int, device: torch.device
) -> dict[str, Any]:
    """Returns microseconds per step of the whole ensemble for several windows, after a warm-up window."""
    ensemble, window = Ensemble.start(runs, config.hidden_width, device), first_window(runs, config, num_steps, device)
    batches = engine.advance(ensemble, window).num_batches
    if not bool((batches == num_steps).all()):
        raise ArithmeticError(f"runs diverged: {int(batches.min())} of {num_steps} steps were made")
    taken = [1e6 * seconds_of(lambda: engine.advance(ensemble, window), device) / num_steps for _ in range(repeats)]
    if not bool(ensemble.params.isfinite().all()):
        raise ArithmeticError("weights are not finite after the windows that were timed")
    median = statistics.median(taken)
    return {
        "microseconds_per_step": taken,
        "median_microseconds_per_step": median,
        "run_steps_per_second": 1e6 * len(runs) / median,
    }


class Results:
    """A growing JSON file, rewritten after each measurement, even a failed one."""

    def __init__(self, output: str, directory: Path, **about: Any) -> None:
        self._output, self._directory = output, directory
        self._content: dict[str, Any] = {"machine": machine.describe(), **about}
        self.problems: list[str] = []

    def measure(self, kind: str, about: dict[str, Any], work: Callable[[], dict[str, Any]]) -> None:
        """Adds one measurement of a kind; ``work`` returns its figures and any error under the key ``problem``."""
        try:
            entry = about | work()
        except Exception as error:
            entry = about | {"problem": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        self._content.setdefault(kind, []).append(entry)
        machine.save(self._output, self._content, self._directory)
        print(kind, json.dumps(entry), flush=True)
        if "problem" in entry:
            words = " ".join(str(value) for value in about.values())
            self.problems.append(f"{kind} {words}: {entry['problem']}")

    def close(self) -> None:
        """Ends the process with status 1 and one line, if a measurement had a problem."""
        if self.problems:
            raise SystemExit(f"{len(self.problems)} problems, the first: {self.problems[0]}")


@app.command
def times(
    engine: CudaEngineName,
    *,
    device: DeviceName = "cuda",
    n_features: Annotated[tuple[int, ...], Several] = (64, 32, 50),
    runs: Annotated[tuple[int, ...], Several] = (100, 15, 1, 132, 1000),
    num_steps: int = 250,
    repeats: int = 5,
    output: str | None = None,
    output_dir: Path = machine.OWN,
) -> None:
    """Measures first gradients against float64, then the time per step.

    Args:
        engine: The engine to measure.
        device: The device that trains; a CPU emulates or interprets.
        n_features: Widths.
        runs: Numbers of runs to stack.
        num_steps: Steps of a window.
        repeats: Number of timed windows.
        output: Name of the JSON file; by default kernels_<engine>.
        output_dir: Directory of the JSON file.
    """
    on = torch.device(device)
    results = Results(output or f"kernels_{engine}", output_dir, engine=engine, device=device)
    made = engine_of(engine, on)
    configs = {n: task_config(f"n{n}-k8", test_set_size=1) for n in n_features}
    for n, config in configs.items():
        few = replace(config, num_hidden_secrets=2, num_orderings=2)
        for strategy in GRADIENT_STRATEGIES:
            work = partial(first_gradient, made, strategy, few, min(4, *runs) if device == "cpu" else 4, on)
            results.measure("gradients", {"n_features": n, "strategy": strategy}, work)
    for n, config in configs.items():
        orderings = min(10, -(-max(runs) // config.num_hidden_secrets))
        every = runs_of("default_4096", replace(config, num_orderings=orderings), max(runs))
        for count in runs:
            about = {"n_features": n, "num_runs": count, "num_steps": num_steps}
            results.measure("times", about, partial(step_times, made, every[:count], config, num_steps, repeats, on))
    results.close()


@app.command
def traces(
    engine: CudaEngineName,
    *,
    device: DeviceName = "cuda",
    trace: Annotated[tuple[str, ...] | None, Several] = None,
    runs: int | None = None,
    max_steps: int | None = None,
    output: str | None = None,
    output_dir: Path = machine.OWN,
) -> None:
    """Measures the difference of each traced run's losses from the original's.

    Args:
        engine: The engine to measure.
        device: The device that trains; a CPU emulates or interprets.
        trace: Names of traces; by default all.
        runs: Maximum number of runs of each trace; by default all.
        max_steps: Maximum number of steps; by default all.
        output: Name of the JSON file; by default traces_<engine>.
        output_dir: Directory of the JSON file.
    """
    on = torch.device(device)
    results = Results(output or f"traces_{engine}", output_dir, engine=engine, device=device)
    made = engine_of(engine, on)
    cases = json.loads(TRACES.read_text())["cases"]
    for name in trace or cases:
        case = cases[name]
        results.measure("traces", {"trace": name}, partial(follow, made, name, case, runs, max_steps, on))
    results.close()


def follow(
    engine: Engine, name: str, case: dict[str, Any], num_runs: int | None, max_steps: int | None, device: torch.device
) -> dict[str, Any]:
    """Returns, for each run of a trace, the largest difference of a step's loss from the original's, in nats."""
    config = TaskConfig(**case["trace"]["config"])
    config = replace(config, max_steps=min(max_steps or config.max_steps, config.max_steps))
    every = make_runs([(interface.load(load(case["strategy"])), PublicSeeds(case["seed"]))], config)
    chosen = every[:num_runs]
    expected = {(secret, order, step): loss for secret, order, step, loss, _ in case["trace"]["train"]}
    differences = {}
    ends = train(chosen, config, engine, [device], torch.float32, lambda closed: None)
    for run, end in zip(chosen, ends, strict=True):
        place = run.secret_index, run.order_index
        if len(end.curve.loss) != config.max_steps:
            return {"problem": f"run {place} ended after {len(end.curve.loss)} of {config.max_steps} steps"}
        differences[place] = max(
            abs(loss - expected[*place, step]) for step, loss in zip(end.curve.step, end.curve.loss, strict=True)
        )
    held = {place: difference for place, difference in differences.items() if (name, *place) != CHAOTIC}
    place, worst = max(held.items(), key=lambda item: nan_last(item[1]))
    entry: dict[str, Any] = {
        "num_steps": config.max_steps,
        "largest_difference": worst,
        "differences": [{"run": place, "difference": difference} for place, difference in differences.items()],
    }
    if not worst <= LOSS_TOLERANCE:
        entry["problem"] = f"run {place} is {worst:.1e} from the original's losses, more than {LOSS_TOLERANCE}"
    return entry


@app.command
def steps(
    engine: CudaEngineName, *, device: DeviceName = "cuda", n_features: int = 64, runs: int = 100, num_steps: int = 25
) -> None:
    """Trains two windows, for use under a profiler or a sanitizer.

    Args:
        engine: The engine to run.
        device: The device that trains; a CPU emulates or interprets.
        n_features: Width.
        runs: Number of runs.
        num_steps: Steps of a window.
    """
    on = torch.device(device)
    config = task_config(f"n{n_features}-k8", test_set_size=1, num_hidden_secrets=1, num_orderings=1)
    made, chosen = engine_of(engine, on), runs_of("default_4096", config, runs)
    ensemble, window = Ensemble.start(chosen, config.hidden_width, on), first_window(chosen, config, num_steps, on)
    for _ in range(2):
        metrics = made.advance(ensemble, window)
    print(f"mean loss {float((metrics.loss / metrics.num_batches).mean()):.6f}")


if __name__ == "__main__":
    app()
