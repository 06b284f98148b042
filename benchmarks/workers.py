"""Evaluations by workers of this machine: two against one, the overhead of each task, and the same bits.

python -m benchmarks.workers

48 evaluations, 12 variants of `isolated_cube` under 4 seeds each, contained, in the smoke settings of N=32. Workers
have one thread each, and have made an evaluation before anything is measured. Ratios compare measurements that take
turns. The best times are those that other work on the machine disturbed least.
"""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from cyclopts import App

from benchmarks import machine
from benchmarks.evaluator import seeds, variants
from vecparity import Evaluation, Evaluator, Job, LocalWorkers
from vecparity.cluster.ray_workers import RayWorkers
from vecparity.cluster.work import options_for_workers, to_work
from vecparity.cluster.worker import evaluate_work
from vecparity.evaluation.job import to_task
from vecparity.evaluation.options import Options

app = App(help=__doc__)
_CALLS = 100


def jobs() -> list[Job]:
    """Returns 12 variants under 4 seeds each."""
    return [replace(job, seed=seed) for job in variants(12) for seed in range(4)]


def evaluated(evaluator: Evaluator, given: Sequence[Job]) -> tuple[float, list[Evaluation]]:
    """Returns the wall time of evaluations, and the evaluations without theirs."""
    began = time.perf_counter()
    outcomes = list(evaluator.map(given))
    passed = time.perf_counter() - began
    made = [outcome for outcome in outcomes if isinstance(outcome, Evaluation)]
    assert len(made) == len(given), outcomes
    return passed, [replace(one, provenance=replace(one.provenance, wall_seconds=0.0)) for one in made]


def overheads(workers: Executor) -> dict[str, float]:
    """Measures a call that does nothing, and a task of one step beyond the seconds that its worker spends on it."""
    empty, beyond = [], []
    options = options_for_workers(Options(audit="off", device="cpu"), 1)
    tiny = [replace(job, settings={"max_steps": 1}) for job in seeds(_CALLS)]
    for index, job in enumerate(tiny):
        began = time.perf_counter()
        workers.submit(abs, -1).result()
        empty.append(time.perf_counter() - began)
        task = to_task(index, job, options)
        began = time.perf_counter()
        done = workers.submit(evaluate_work, to_work([task], options)).result()
        beyond.append(time.perf_counter() - began - done.seconds)
    return {
        "empty call": 1000 * statistics.median(empty),
        "task": 1000 * statistics.median(beyond),
        "task, 9 of 10": 1000 * statistics.quantiles(beyond, n=10)[-1],
    }


@app.default
def main(*, repeats: int = 5, output: str = "workers") -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``.

    Args:
        repeats: Measurements of each kind, in turn.
        output: Name of the JSON file.
    """
    measured: dict[str, list[float]] = {}
    with ExitStack() as stack:
        executors: dict[str, Executor] = {
            "1 worker": stack.enter_context(LocalWorkers(1)),
            "2 workers": stack.enter_context(LocalWorkers(2)),
        }
        if find_spec("ray") is not None:
            executors["Ray"] = stack.enter_context(RayWorkers())
        evaluators = {"this process": stack.enter_context(Evaluator(audit="off", device="cpu", threads=1))}
        for name, executor in executors.items():
            evaluators[name] = stack.enter_context(Evaluator(audit="off", device="cpu", threads=1, executor=executor))
        expected = None
        for evaluator in evaluators.values():
            evaluated(evaluator, seeds(4))
        for _ in range(repeats):
            for name, evaluator in evaluators.items():
                passed, outcomes = evaluated(evaluator, jobs())
                expected = expected or outcomes
                assert outcomes == expected, f"{name} gives other bits"
                measured.setdefault(name, []).append(passed)
                print(f"{name:<20} {passed:8.3f} s", flush=True)
        milliseconds = {name: overheads(executor) for name, executor in executors.items()}
    medians = {name: statistics.median(values) for name, values in measured.items()}
    best = {name: min(values) for name, values in measured.items()}
    ratios = {
        f"two workers are faster than {name}, {which}": times[name] / times["2 workers"]
        for which, times in {"medians": medians, "best": best}.items()
        for name in ("1 worker", "this process")
    }
    for name, ratio in ratios.items():
        print(f"{name:<55} {ratio:8.2f}")
    for name, figures in milliseconds.items():
        print(f"{name}: {', '.join(f'{what} {value:.2f} ms' for what, value in figures.items())}")
    content = {
        "machine": machine.describe(),
        "evaluations": len(jobs()),
        "repeats": repeats,
        "equal": True,
        "medians": medians,
        "best": best,
        "ratios": ratios,
        "overhead_milliseconds": milliseconds,
        "seconds": measured,
    }
    return machine.save(output, content)


if __name__ == "__main__":
    app(result_action="return_value")
