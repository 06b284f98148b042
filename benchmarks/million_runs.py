"""The costs of a million runs by workers: speed, bytes that travel, the history's size, and the driver's own time.

python -m benchmarks.million_runs

A map of 100 x 100 cells, each an evaluation of 100 runs, is 10 000 jobs. All costs are measured on real jobs of
`random_rows` by one worker for each core, with one thread each, contained; the plan multiplies them.
"""

import pickle
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App

from benchmarks import machine
from vecparity import Evaluation, Evaluator, History, Job, LocalWorkers
from vecparity.cluster.batches import MOST_RUNS
from vecparity.cluster.work import options_for_workers, to_work
from vecparity.cluster.worker import evaluate_work
from vecparity.evaluation.job import to_task
from vecparity.evaluation.options import Options
from vecparity.strategy.source import load

app = App(help=__doc__)
STRATEGY = load("random_rows")
# Every run has as many windows as one of 100 000 steps.
_ALL_WINDOWS = {"max_steps": 2000, "log_interval": 5, "hidden_width": 8, "early_stop_acc": 2.0}


def jobs(count: int, settings: dict[str, Any]) -> list[Job]:
    """Returns jobs of equal settings that differ in the seed."""
    return [Job(STRATEGY, "n32-k8", seed, settings=settings) for seed in range(count)]


def speed(steps: int, batches: int) -> dict[str, float]:
    """Measures the run-steps per second of all workers together, preparation and tests included."""
    settings = {"max_steps": steps, "early_stop_acc": 2.0}
    with LocalWorkers(machine.cores()) as workers, Evaluator(executor=workers, audit="off", threads=1) as evaluator:
        given = jobs(batches * machine.cores() * MOST_RUNS // 100, settings)
        made(evaluator, jobs(machine.cores(), {"max_steps": 1}))
        began = time.perf_counter()
        outcomes = made(evaluator, given)
        seconds = time.perf_counter() - began
    run_steps = sum(result.steps for outcome in outcomes for result in outcome.results)
    return {"seconds": seconds, "run_steps": run_steps, "run_steps_per_second": run_steps / seconds}


def made(evaluator: Evaluator, given: Sequence[Job]) -> list[Evaluation]:
    """Returns the evaluations, all of which must succeed."""
    outcomes = list(evaluator.map(given))
    evaluations = [outcome for outcome in outcomes if isinstance(outcome, Evaluation)]
    assert len(evaluations) == len(given), outcomes
    return evaluations


def sizes(count: int) -> dict[str, float]:
    """Measures the bytes of evaluations with all windows as they travel and as they are recorded, and the time."""
    options = options_for_workers(Options(audit="off"), 1)
    listed = jobs(count, _ALL_WINDOWS)
    work = to_work([to_task(index, job, options) for index, job in enumerate(listed)], options)
    done = evaluate_work(work)
    answer = pickle.dumps(done)
    began = time.perf_counter()
    pickle.loads(answer)
    reading = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "history.sqlite"
        with History(file, create=True) as history:
            before = file.stat().st_size
            began = time.perf_counter()
            for outcome in done.outcomes:
                assert isinstance(outcome, Evaluation), outcome
                history.add(outcome, STRATEGY, "benchmark")
            recording = time.perf_counter() - began
        grown = sum(path.stat().st_size for path in Path(directory).iterdir()) - before
    return {
        "bytes_to_a_worker": len(pickle.dumps(work)) / count,
        "bytes_from_a_worker": len(answer) / count,
        "history_bytes": grown / count,
        "driver_milliseconds": 1000 * (reading + recording) / count,
    }


@app.default
def main(*, steps: int = 1000, batches: int = 2, repeats: int = 3, output: str = "million_runs") -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``.

    Args:
        steps: The steps of the runs by which the speed is measured.
        batches: Batches of each worker in one measurement of the speed.
        repeats: Measurements of the speed, of which the best is the one that other work disturbed least.
        output: Name of the JSON file.
    """
    content: dict[str, Any] = {"machine": machine.describe(), "evaluation": sizes(MOST_RUNS // 100)}
    content["speed"] = [speed(steps, batches) for _ in range(repeats)]
    for name, value in content["evaluation"].items():
        print(f"{name}: {value:,.1f} an evaluation")
    for measured in content["speed"]:
        print(f"{measured['run_steps_per_second']:,.0f} run-steps/s, {machine.cores()} workers")
    return machine.save(output, content)


if __name__ == "__main__":
    app(result_action="return_value")
