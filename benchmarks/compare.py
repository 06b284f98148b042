"""Sets the figures of two JSON files of the same benchmark against each other.

python -m benchmarks.compare benchmarks/results/throughput.json benchmarks/own/throughput.json

A ratio is the new figure divided by the old. Of repeated measurements the medians are compared, and a ratio counts as a
difference only if all new ones lie above, or all below, the old ones.
"""

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.console import Console
from rich.table import Table

app = App(help=__doc__)

# Fields that tell one entry of a list from another, in the order in which they are shown.
_NAMES = (
    "command",
    "strategy",
    "protocol",
    "engine",
    "rows",
    "n_features",
    "num_runs",
    "trace",
    "name",
    "kind",
    "audit",
)


@dataclass(frozen=True)
class Figure:
    """A figure of a file.

    Attributes:
        values: Its measurements; one if it was measured once.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def differs_from(self, other: "Figure") -> bool | None:
        """Tells whether all measurements of one lie above all of the other; None if either was measured once."""
        if min(len(self.values), len(other.values)) < 2:
            return None
        return min(self.values) > max(other.values) or max(self.values) < min(other.values)


def figures(content: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Figure]]:
    """Yields what a file measured, with its places: fractions and bytes. What names an entry belongs to its place."""
    if isinstance(content, dict):
        named = _names(content)
        for key, value in content.items():
            is_setting = key == "machine" or (isinstance(value, int) and "bytes" not in key)
            if key not in _NAMES and not is_setting:
                yield from figures(value, (*place, *named, key))
    elif isinstance(content, list):
        if content and all(is_number(value) for value in content):
            yield place, Figure(tuple(map(float, content)))
        else:
            names = [_names(value) for value in content]
            for index, value in enumerate(content):  # numbered where names do not tell the entries apart
                yield from figures(value, place if names.count(names[index]) == 1 else (*place, f"#{index}"))
    elif is_number(content):
        yield place, Figure((float(content),))


def _names(content: Any) -> tuple[str, ...]:
    """Returns what names an entry of a list."""
    if not isinstance(content, dict):
        return ()
    return tuple(f"{content[name]}" for name in _NAMES if isinstance(content.get(name), str | int))


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@app.default
def main(old: Path, new: Path, *, only: str = "", least: float = 0.0) -> None:
    """Prints the figures that both files have.

    Args:
        old: A JSON file that a benchmark wrote.
        new: Another one, of the same command.
        only: Show figures whose place contains this text.
        least: Show figures that differ by at least this share of the old one.
    """
    contents = [read(path) for path in (old, new)]
    before, after = (dict(figures(content)) for content in contents)
    table = Table("figure", "old", "new", "new / old", "differs")
    shared = [place for place in before if place in after and only in " ".join(place)]
    if not shared:
        raise SystemExit(f"{old} and {new} have no figure in common{f' with {only!r} in its place' if only else ''}")
    for place in shared:
        a, b = before[place], after[place]
        ratio = b.median / a.median if a.median else None
        if ratio is None or abs(ratio - 1) < least:
            continue
        differs = {None: "", True: "yes", False: "no"}[b.differs_from(a)]
        table.add_row(" ".join(place), f"{a.median:,.6g}", f"{b.median:,.6g}", f"{ratio:.3f}", differs)
    console = Console()
    console.print(table)
    machines = [content.get("machine", {}) for content in contents]
    for key in sorted({*machines[0], *machines[1]} - {"measured"}):
        values = [machine.get(key) for machine in machines]
        if values[0] != values[1]:
            console.print(f"{key}: {values[0]}, then {values[1]}", highlight=False)


def read(path: Path) -> dict[str, Any]:
    """Reads a file.

    Raises:
        SystemExit: It is no JSON object.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} is no JSON that a benchmark wrote: {error}") from error
    if not isinstance(content, dict):
        raise SystemExit(f"{path} is no JSON that a benchmark wrote: expected an object, got {type(content).__name__}")
    return content


if __name__ == "__main__":
    app()
