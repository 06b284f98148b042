"""Lists and ranks a large history, start-up included.

python -m benchmarks.history_scale

The history is of evaluations under protocol published: 15 runs each, with curves of 121 windows of random figures. A
command's time is from its start to its exit, the median of several.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from vecparity.audits.finding import DECIDING, AuditFinding
from vecparity.evaluation.result import (
    ByFeature,
    DatasetSummary,
    Evaluation,
    FirstLayer,
    Provenance,
    RunCurve,
    RunResult,
)
from vecparity.history.database import VERSION, connect, writing
from vecparity.history.store import History
from vecparity.history.version_2 import Version2
from vecparity.strategy.source import Strategy
from vecparity.task.config import CONFIGURATIONS, task_config
from vecparity.training.curve import Curve

# The commands, with the seconds that each is to take at most on 50 000 evaluations.
COMMANDS: dict[str, tuple[Sequence[str], float]] = {
    "history --limit 20": (["history", "--limit", "20"], 1.0),
    "history --limit 20 --sort accuracy": (["history", "--limit", "20", "--sort", "accuracy"], 3.0),
    "leaderboard": (["leaderboard"], 2.0),
    "show": (["show", "1"], 1.0),
}
_SOURCES = 20
_PARAMS = 10
# Evaluations whose rows and curves are made anew; the others repeat their curves, which takes less time.
_TEMPLATES = 30

app = App(help=__doc__)


def evaluations(count: int, seed: int = 0) -> Iterator[tuple[Evaluation, Strategy]]:
    """Yields evaluations of 20 sources with 10 values of a parameter each, on all configurations under many seeds."""
    draws = random.Random(seed)
    strategies = [Strategy(f"strategy_{n}", f"strategy_{n}.py", f"# {n}\n".encode() * 100) for n in range(_SOURCES)]
    templates = [_template(list(CONFIGURATIONS)[n % 3], draws) for n in range(_TEMPLATES)]
    for number in range(count):
        contender, label = divmod(number, 3)
        strategy = strategies[contender % _SOURCES]
        template = templates[3 * draws.randrange(_TEMPLATES // 3) + label]
        provenance = replace(
            template.provenance,
            strategy=strategy.name,
            strategy_sha256=strategy.sha256,
            seed=contender // (_SOURCES * _PARAMS),
            params={"lr": 0.01 * (1 + contender // _SOURCES % _PARAMS)},
        )
        results = [replace(run, test_accuracy=draws.randrange(8_192, 16_385) / 16_384) for run in template.results]
        yield replace(template, provenance=provenance, results=results), strategy


def _template(label: str, draws: random.Random) -> Evaluation:
    config = task_config(label, protocol="published")
    steps = config.window_closes(121)
    places = [(i, j) for i in range(config.num_hidden_secrets) for j in range(config.num_orderings)]

    def by_feature() -> ByFeature:
        return ByFeature(draws.random(), draws.random(), [draws.random() for _ in range(config.n_features)])

    return Evaluation(
        config=config,
        datasets=[DatasetSummary(i, 4096, 0.5, list(range(8)), 256, by_feature()) for i in range(5)],
        results=[RunResult(*place, 30_000, 0.5) for place in places],
        diverged=[],
        curves=[
            RunCurve(*place, Curve(steps, [draws.random() for _ in steps], [draws.random() for _ in steps]))
            for place in places
        ],
        first_layers=[FirstLayer(*place, by_feature()) for place in places],
        findings=[AuditFinding(name, True, "as an honest strategy's", {}) for name in DECIDING],
        provenance=Provenance(
            vecparity="0.1.0",
            torch="2.13.0",
            python="3.11.0",
            engine="native",
            device="cpu",
            device_type="cpu",
            dtype="float32",
            strategy="",
            strategy_sha256="",
            seed=0,
            protocol="published",
            init_device="cpu",
            containment="bwrap",
            audit="report",
            seal=None,
            wall_seconds=10.0,
        ),
    )


def fill(path: Path, count: int) -> float:
    """Makes a history, and returns the seconds that a record took."""
    began = time.perf_counter()
    opened = connect(path, create=True)
    assert opened is not None
    with closing(opened[0]) as connection, writing(connection):  # one transaction: no wait for the disk at each
        tables = Version2(connection, path, has_notes=True)
        for evaluation, strategy in evaluations(count):
            tables.add(tables.row(evaluation, "2026-01-01T00:00:00+00:00", "benchmark"), strategy.source)
    return (time.perf_counter() - began) / count


def seconds(command: Sequence[str], path: Path) -> float:
    """Returns the seconds that a command takes, start-up included."""
    began = time.perf_counter()
    whole = [sys.executable, "-m", "vecparity", *command, "--history", str(path)]
    subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


@app.default
def main(
    *,
    count: int = 50_000,
    repeats: int = 5,
    history: Path | None = None,
    output: Path = machine.OWN,
    name: str = "history_scale",
) -> Path:
    """Measures, prints a table and writes ``<output>/<name>.json``.

    Args:
        count: Number of evaluations in the history.
        repeats: Number of times that each command runs, after one that is not counted.
        history: A file in which to keep the history, or that has it already; by default it is removed in the end.
        output: Directory of the JSON file.
        name: Name of the JSON file.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = history or Path(directory) / "history.sqlite3"
        per_record = None if path.exists() else fill(path, count)
        with History(path) as opened:
            assert opened.count() == count, f"expected {count} evaluations, got {opened.count()} in {path}"
        measured: list[dict[str, Any]] = []
        for command, (arguments, goal) in COMMANDS.items():
            times = [seconds(arguments, path) for _ in range(1 + repeats)][1:]
            measured.append(
                {"command": command, "seconds": statistics.median(times), "all": times, "goal_seconds": goal}
            )
        size = path.stat().st_size
    table = Table("command", "seconds", "goal", title=f"{count} evaluations, {size / 2**20:,.0f} MiB")
    for each in measured:
        table.add_row(each["command"], f"{each['seconds']:.2f}", f"{each['goal_seconds']:.1f}")
    console = Console()
    console.print(table)
    content = {
        "machine": machine.describe(),
        "evaluations": count,
        "bytes": size,
        "version": VERSION,
        "seconds_per_record": per_record,
        "repeats": repeats,
        "measured": measured,
    }
    written = machine.save(name, content, output)
    console.print(f"written to {written}")
    return written


if __name__ == "__main__":
    app(result_action="return_value")
