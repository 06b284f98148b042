"""Many evaluations in one evaluator: variants of a strategy against cold evaluations, and against seeds.

python -m benchmarks.evaluator

The strategy is `isolated_cube` with ``lr`` and ``wd`` as parameters, contained, in the smoke settings of N=32. Ratios
compare measurements that take turns. Memory is that of all processes together, with shared pages counted once.
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import psutil
from cyclopts import App

from benchmarks import machine
from vecparity import Evaluation, Evaluator, Job, Strategy, evaluate
from vecparity.audits.mode import AuditMode
from vecparity.strategy.source import load

app = App(help=__doc__)
_GIB = 1 << 30


def strategy() -> Strategy:
    """Returns `isolated_cube` with two parameters."""
    text = load("isolated_cube").source.decode()
    signature = "def get_optimizer_config(config: TaskConfig"
    numbers = '"lr": 1e-2, "wd": 0.3'
    assert signature in text
    assert numbers in text
    text = text.replace(signature, f"{signature}, *, lr: float = 1e-2, wd: float = 0.3")
    return Strategy.from_source(text.replace(numbers, '"lr": lr, "wd": wd'), name="isolated_cube_varied")


def variants(count: int) -> list[Job]:
    """Returns jobs that differ in ``lr`` and ``wd``; none stops early, and all train equally long."""
    return [
        Job(strategy(), params={"lr": 1e-2 * (1 + index / 1000), "wd": 0.3 + index / 1000}, smoke=True)
        for index in range(count)
    ]


def seeds(count: int) -> list[Job]:
    """Returns jobs that differ in the seed."""
    return [Job(strategy(), seed=1000 + index, smoke=True) for index in range(count)]


def seconds(call: Callable[[], Sequence[object]], expected: int) -> float:
    """Measures the wall time of evaluations, all of which must succeed."""
    began = time.perf_counter()
    outcomes = call()
    passed = time.perf_counter() - began
    assert len(outcomes) == expected
    assert all(isinstance(outcome, Evaluation) for outcome in outcomes), outcomes
    return passed


def cold(jobs: Sequence[Job], audit: AuditMode) -> list[object]:
    """Evaluates jobs in an evaluator of their own."""
    with Evaluator(audit=audit) as evaluator:
        return list(evaluator.map(jobs))


def one(job: Job, audit: AuditMode) -> list[object]:
    """Evaluates one job, in an evaluator that ends with it."""
    return [evaluate(job.strategy, seed=job.seed, params=job.params, smoke=job.smoke, audit=audit)]


class Memory:
    """Samples the memory of this process and all that it started, until it is left.

    Attributes:
        most: The most bytes found.
        most_processes: The most processes found.
    """

    def __init__(self) -> None:
        self.most, self.most_processes = 0, 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._is_over.wait(0.5):
            total = count = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                    count += 1
                except psutil.Error:
                    continue
            self.most, self.most_processes = max(self.most, total), max(self.most_processes, count)


def measure_memory(count: int, audit: AuditMode) -> dict[str, float]:
    """Evaluates variants, and returns the seconds and the most memory in GiB."""
    with Memory() as memory:
        passed = seconds(lambda: cold(variants(count), audit), count)
    return {"variants": count, "seconds": passed, "gib": memory.most / _GIB, "processes": memory.most_processes}


@app.default
def main(*, repeats: int = 5, most: int = 1000, audit: AuditMode = "off", output: str = "evaluator") -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``.

    Args:
        repeats: Measurements of each kind, in turn.
        most: Variants whose memory is measured.
        audit: The audit mode of all evaluations.
        output: Name of the JSON file.
    """
    measured: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        measured.setdefault(name, []).append(value)
        print(f"{name:<40} {value:8.3f} s", flush=True)

    with Evaluator(audit=audit) as warm:
        list(warm.map(seeds(2)))
        for _ in range(repeats):
            jobs = variants(12)
            note("12 variants, evaluate each", sum(seconds(partial(one, job, audit), 1) for job in jobs))
            note("12 variants, one cold evaluator", seconds(partial(cold, jobs, audit), 12))
            note("16 seeds, warm", seconds(lambda: list(warm.map(seeds(16))), 16))
            note("16 variants, warm", seconds(lambda: list(warm.map(variants(16))), 16))
            note("1 variant, warm", seconds(lambda: list(warm.map(variants(1))), 1))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    ratios = {
        "one cold evaluator is faster by": medians["12 variants, evaluate each"]
        / medians["12 variants, one cold evaluator"],
        "rate of variants by rate of seeds": medians["16 seeds, warm"] / medians["16 variants, warm"],
    }
    for name, ratio in ratios.items():
        print(f"{name:<40} {ratio:8.2f}")
    # In a process of its own: this one's memory has held other evaluations.
    code = f"import json; from benchmarks.evaluator import measure_memory as m; print(json.dumps(m({most}, {audit!r})))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    print(f"memory: {done.stdout.strip()}")
    content = {
        "machine": machine.describe(),
        "audit": audit,
        "repeats": repeats,
        "medians": medians,
        "ratios": ratios,
        "memory": json.loads(done.stdout),
        "seconds": measured,
    }
    return machine.save(output, content)


if __name__ == "__main__":
    app(result_action="return_value")
