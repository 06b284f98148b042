"""Steps per second of the native kernel, relative to the machine's multiply-adds, and to an older kernel.

python -m benchmarks.native_step
python -m benchmarks.native_step --against benchmarks/results/native_step.json
python -m benchmarks.native_step --old OLD/_native.so --old-commit COMMIT

Everything is measured in turn, and the fastest window counts: other work on the machine only ever makes a window
slower. Figures of two machines, or of two days, are compared by steps per gigaflop of multiply-adds.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.cases import CPU, Case
from vecparity.kernels.cpu import native
from vecparity.training.engines.native import NativeEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.schedule import Schedule, Window

app = App(help=__doc__)

SLOWER = 0.93  # of the committed steps per gigaflop: below, a case counts as slower


@dataclass(frozen=True)
class StepCase:
    """One run on some threads, timed after some steps of training."""

    name: str
    case: Case
    threads: int
    steps_before: int = 0


CASES = (
    StepCase("isolated_cube N=64", Case("isolated_cube", 64, 1), 1),
    StepCase("isolated_cube N=64, after 2 000 steps", Case("isolated_cube", 64, 1), 1, steps_before=2_000),
    StepCase("isolated_cube N=32", Case("isolated_cube", 32, 1), 1),
    StepCase("uniform N=64", Case("uniform", 64, 1), 1),
    StepCase("uniform N=64, 2 threads", Case("uniform", 64, 1), 2),
    StepCase("uniform N=32", Case("uniform", 32, 1), 1),
)


def load_extension(path: Path) -> ModuleType:
    """Loads a build of the extension from a file, beside the installed one."""
    spec = spec_from_file_location("_native", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"--old must be a build of the extension, a shared library, got {path}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def of_old_kernel(extension: ModuleType) -> NativeEngine:
    """Makes an engine of an extension that trains each run on one thread, and takes no number of threads per run."""
    engine = NativeEngine(threads=1)
    engine._kernel = SimpleNamespace(advance=lambda *given: extension.advance(*given[:-2], given[-1]))  # type: ignore[assignment]
    return engine


def window_of(case: StepCase, num_steps: int) -> tuple[Callable[[], Ensemble], Window]:
    """Returns a function that takes the case's ensemble back to before the window that is timed, and that window."""
    runs, config = case.case.make()
    ensemble = Ensemble.start(runs, config.hidden_width, CPU)
    lengths = [case.steps_before, num_steps] if case.steps_before else [num_steps]
    with Schedule.of(runs, config.batch_size, lengths) as schedule:
        *earlier, window = schedule
    for each in earlier:
        NativeEngine().advance(ensemble, each)
    state = ensemble.params, ensemble.exp_avg, ensemble.exp_avg_sq
    before = [values.clone() for values in state]

    def restart() -> Ensemble:
        # In place: the first use of new memory would be part of the window. By NumPy: torch's threads would go on
        # spinning on a core that a window's second thread needs.
        for values, kept in zip(state, before, strict=True):
            values.numpy()[:] = kept.numpy()
        ensemble.step = case.steps_before
        return ensemble

    return restart, window


def seconds_per_step(engine: NativeEngine, ensemble: Ensemble, window: Window) -> float:
    began = time.perf_counter()
    metrics = engine.advance(ensemble, window)
    taken = time.perf_counter() - began
    if not bool((metrics.num_batches == window.num_steps).all()):
        raise ArithmeticError("the run diverged, so its steps were not all made")
    return taken / window.num_steps


def multiply_add_rate(rounds: int = 200_000) -> float:
    """Measures multiply-adds on one thread, in operations per second, each of them two."""
    began = time.perf_counter()
    count = native.extension().multiply_add(rounds, 1)
    return 2 * int(count) / (time.perf_counter() - began)


def measure(num_steps: int, repeats: int, old: ModuleType | None) -> dict[str, Any]:
    """Measures every case in turn, ``repeats`` times."""
    windows = {each.name: window_of(each, num_steps) for each in CASES}
    engines = {each.name: NativeEngine(threads=each.threads, threads_per_run=each.threads) for each in CASES}
    old_engine = None if old is None else of_old_kernel(old)
    fastest: dict[str, float] = {}
    rate = 0.0

    def note(name: str, engine: NativeEngine, case: StepCase) -> None:
        restart, window = windows[case.name]
        taken = seconds_per_step(engine, restart(), window)
        fastest[name] = min(taken, fastest.get(name, taken))

    for _ in range(repeats):
        rate = max(rate, multiply_add_rate())
        for each in CASES:
            if old_engine is not None:
                note(f"old {each.name}", old_engine, each)
            note(each.name, engines[each.name], each)
    cases = {}
    for each in CASES:
        seconds = fastest[each.name]
        cases[each.name] = {
            "threads": each.threads,
            "microseconds_per_step": 1e6 * seconds,
            "steps_per_second": 1 / seconds,
            "steps_per_gigaflop": 1e9 / (seconds * rate),
        }
        if old_engine is not None:
            before = fastest[f"old {each.name}"]
            cases[each.name] |= {"old_microseconds_per_step": 1e6 * before, "old_over_new": before / seconds}
    return {
        "multiply_add_flops": rate,
        "num_steps": num_steps,
        "repeats": repeats,
        "cases": cases,
        "one_thread_over_two": fastest["uniform N=64"] / fastest["uniform N=64, 2 threads"],
    }


def slower_cases(measured: dict[str, Any], committed: dict[str, Any]) -> list[str]:
    """Names the cases whose steps per gigaflop are below `SLOWER` of the committed ones, with both figures."""
    found = []
    for name, entry in committed["cases"].items():
        before, now = entry["steps_per_gigaflop"], measured["cases"][name]["steps_per_gigaflop"]
        if now < SLOWER * before:
            found.append(f"{name}: {now:.0f} steps per gigaflop, {before:.0f} before")
    return found


@app.default
def main(
    *,
    num_steps: int = 250,
    repeats: int = 100,
    old: Path | None = None,
    old_commit: str | None = None,
    against: Path | None = None,
    output: str = "native_step",
    output_dir: Path = machine.OWN,
) -> Path | None:
    """Measures and prints; writes ``<output-dir>/<output>.json``, unless it compares with a file.

    The exit status is 1 if a case is slower than in the file by more than 7%.

    Args:
        num_steps: Steps of a window.
        repeats: Windows of each case; the fastest counts.
        old: The extension built from an older commit, to measure in turn with this one, on one thread.
        old_commit: That commit.
        against: A JSON file that this command wrote, to compare with.
        output: Name of the JSON file.
        output_dir: Directory of the JSON file.
    """
    if (old is None) != (old_commit is None):
        raise SystemExit("--old and --old-commit belong together: an extension, and the commit that it was built from")
    committed = None if against is None else json.loads(against.read_text())
    measured = measure(num_steps, repeats, None if old is None else load_extension(old))
    table = Table("case", "us a step", "steps/s", "steps per gigaflop", "old / new")
    for name, case in measured["cases"].items():
        ratio = f"{case['old_over_new']:.2f}" if "old_over_new" in case else ""
        figures = (case["microseconds_per_step"], case["steps_per_second"], case["steps_per_gigaflop"])
        table.add_row(name, f"{figures[0]:.1f}", f"{figures[1]:,.0f}", f"{figures[2]:.0f}", ratio)
    console = Console()
    console.print(table)
    console.print(f"one thread: {measured['multiply_add_flops'] / 1e9:.0f} GFLOP/s of multiply-adds")
    console.print(f"one run on two threads: {measured['one_thread_over_two']:.2f} times as fast as on one")
    if committed is not None:
        if slower := slower_cases(measured, committed):
            raise SystemExit("\n".join(slower))
        console.print(f"no case is slower than in {against}")
        return None
    content = {
        "machine": machine.describe(),
        "level": native.levels()[0],
        "old_commit": old_commit,
        "threads_available": torch.get_num_threads(),
        **measured,
    }
    path = machine.save(output, content, output_dir)
    console.print(f"written to {path}")
    return path


if __name__ == "__main__":
    app(result_action="return_value")
