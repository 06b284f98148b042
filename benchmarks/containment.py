"""The cost of containment: the whole command at each level, without its filter of system calls, and without any.

python -m benchmarks.containment
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App

from benchmarks import machine
from vecparity.sandbox import levels, system_calls
from vecparity.sandbox.pool import Pool
from vecparity.strategy import interface
from vecparity.strategy.parameters import Arguments
from vecparity.strategy.source import Strategy

app = App(help=__doc__)
_IN_PROCESS = "in process"
# The strongest level, but with every system call allowed.
_WITHOUT_FILTER = "without filter"
_COMMAND = ["--all-configs", "--log", "final"]


class InProcess:
    """A substitute for a sandbox that calls the strategy in this process."""

    def __init__(self, pool: Pool, strategy: Strategy, arguments: Arguments) -> None:
        loaded = interface.load(strategy, arguments=arguments)
        self.initialise, self.training_set = loaded.initialise, loaded.training_set


def evaluate_in_process(arguments: Sequence[str]) -> int:
    """Runs the whole command without containment."""
    import vecparity.eval
    import vecparity.evaluation.preparation

    vecparity.evaluation.preparation.Sandbox = InProcess  # type: ignore[assignment,misc]
    return vecparity.eval.main(arguments)


def evaluate_without_filter(arguments: Sequence[str]) -> int:
    """Runs the whole command at the strongest level, with fork servers that take the machine for one without filter."""
    import vecparity.eval

    levels._START = f"from vecparity.sandbox import system_calls; system_calls.why_not = lambda: ''; {levels._START}"
    return vecparity.eval.main(arguments)


def seconds(level: str, strategy: str) -> float:
    """Measures the wall time of one evaluation of all configurations, including start-up."""
    arguments = [*_COMMAND, "--strategy", strategy]
    if level in _INSTEAD:
        code = f"import sys; from benchmarks.containment import {_INSTEAD[level]} as e; sys.exit(e({arguments}))"
        command = [sys.executable, "-c", code]
    else:
        command = [sys.executable, "-m", "vecparity.eval", *arguments, "--containment", level]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


_INSTEAD = {_IN_PROCESS: evaluate_in_process.__name__, _WITHOUT_FILTER: evaluate_without_filter.__name__}


@app.default
def main(*, strategy: str = "isolated_cube", repeats: int = 5, output: str | None = None) -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``.

    Args:
        strategy: A bundled strategy or a file.
        repeats: Evaluations at each level, in turn.
        output: Name of the JSON file.
    """
    kinds = [_IN_PROCESS, *(level for level in levels.LEVELS if levels.why_not(level) is None)]
    kinds += [_WITHOUT_FILTER] * (system_calls.why_not() is None)
    measured: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind in kinds:
            measured[kind].append(seconds(kind, strategy))
    usual = statistics.median(measured[_IN_PROCESS])
    results: list[dict[str, Any]] = [
        {
            "containment": kind,
            "seconds": statistics.median(times),
            "more_than_in_process": statistics.median(times) - usual,
            "all_seconds": times,
        }
        for kind, times in measured.items()
    ]
    for result in results:
        print(f"{result['containment']:<14} {result['seconds']:6.2f} s  {result['more_than_in_process']:+.2f} s")
    content = {"machine": machine.describe(), "strategy": strategy, "measured": results}
    return machine.save(output or "containment", content)


if __name__ == "__main__":
    app(result_action="return_value")
