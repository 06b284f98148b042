"""The cost of audits: wall time of the whole command, contained, without audits and with strict ones.

python -m benchmarks.audit_cost
"""

import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import get_args

from cyclopts import App

from benchmarks import machine
from vecparity.sandbox import levels
from vecparity.task.config import Protocol

app = App(help=__doc__)
_MODES = ("off", "strict")


def seconds(strategy: str, protocol: str, mode: str) -> float:
    """Measures one evaluation of all configurations, including start-up, at the strongest level of the machine."""
    flags = f"--all-configs --protocol {protocol} --audit {mode} --log final --no-history --strategy {strategy}"
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "vecparity.eval", *flags.split()], check=True, capture_output=True)
    return time.perf_counter() - began


@app.default
def main(*, strategy: str = "isolated_cube", repeats: int = 5, output: str = "audit_cost") -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``.

    Args:
        strategy: A bundled strategy or a file.
        repeats: Evaluations of each kind, in turn.
        output: Name of the JSON file.
    """
    kinds = list(product(get_args(Protocol), _MODES))
    measured: dict[tuple[str, str], list[float]] = {kind: [] for kind in kinds}
    for _, kind in product(range(repeats), kinds):
        measured[kind].append(seconds(strategy, *kind))
    results = [
        {
            "protocol": protocol,
            "audit": mode,
            "seconds": statistics.median(times),
            "times_unaudited": statistics.median(times) / statistics.median(measured[protocol, "off"]),
            "all_seconds": times,
        }
        for (protocol, mode), times in measured.items()
    ]
    for result in results:
        print(
            f"{result['protocol']:<10} {result['audit']:<7} {result['seconds']:6.2f} s {result['times_unaudited']:.2f}x"
        )
    level = next(level for level in levels.LEVELS if levels.why_not(level) is None)
    content = {"machine": machine.describe(), "strategy": strategy, "containment": level, "measured": results}
    return machine.save(output, content)


if __name__ == "__main__":
    app(result_action="return_value")
