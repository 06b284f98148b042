"""The time of an agent's test in a warm server: of a strategy that generalises, and of one that memorises.

python -m benchmarks.agent

A test has all three configurations under protocol published, contained. The first test of a server is not counted.
"""

import os
import statistics
import time
from pathlib import Path

import psutil
from cyclopts import App

from benchmarks import machine
from vecparity import Options
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.session import Session
from vecparity.agent.settings import SessionSettings
from vecparity.strategy.source import load

app = App(help=__doc__)
# `multi_epoch` gets its 10 000 rows right, and guesses on all others.
_STRATEGIES = ("isolated_cube", "multi_epoch")


def session(evaluators: Evaluators, strategy: str, budget: int) -> Session:
    """Returns a session whose block is a bundled strategy's text."""
    made = Session(evaluators, SessionSettings(budget=budget))
    made.edit("replace", made.file.first, made.file.last, load(strategy).source.decode())
    return made


def cpu_seconds() -> float:
    """Returns the CPU time of this process, its fork servers and all that they have waited for."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in [own, *own.children(recursive=True)])


def measure(evaluators: Evaluators, strategy: str, repeats: int) -> dict[str, float | list[float]]:
    """Returns the seconds of tests, the CPU seconds, which other work changes less, and an answer's characters."""
    own, seconds, of_cpu = session(evaluators, strategy, repeats), list[float](), list[float]()
    for _ in range(repeats):
        began, cpu_before = time.perf_counter(), cpu_seconds()
        answer = own.test()
        seconds.append(time.perf_counter() - began)
        of_cpu.append(cpu_seconds() - cpu_before)
        assert answer.count("\nFINAL_METRICS ") == 3, answer
        print(f"{strategy:<20} {seconds[-1]:8.2f} s, {of_cpu[-1]:8.2f} s of CPU time", flush=True)
    medians = {"median": statistics.median(seconds), "median_cpu": statistics.median(of_cpu)}
    return {"seconds": seconds, "cpu_seconds": of_cpu, **medians, "characters": len(answer)}


@app.default
def main(*, repeats: int = 5, output: str = "agent") -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``.

    Args:
        repeats: Tests of each strategy.
        output: Name of the JSON file.
    """
    before = os.getloadavg()[0]
    with Evaluators(Options(audit="off")) as evaluators:
        session(evaluators, _STRATEGIES[0], 1).test()
        tests = {strategy: measure(evaluators, strategy, repeats) for strategy in _STRATEGIES}
        submitting = session(evaluators, _STRATEGIES[0], 1)
        submitting.test()
        began = time.perf_counter()
        submitting.submit(1)
        submission = time.perf_counter() - began
    print(f"{'submission':<20} {submission:8.2f} s")
    content = {"machine": machine.describe(), "load_before": before, "tests": tests, "submission": submission}
    return machine.save(output, content)


if __name__ == "__main__":
    app(result_action="return_value")
