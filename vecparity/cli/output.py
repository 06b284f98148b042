"""What commands print: records as a table for people, or as Markdown, CSV or JSON."""

import csv
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

Format = Literal["table", "markdown", "csv", "json"]
# Where there is no terminal, nothing is cut to its width.
_WIDTH = 1_000


@dataclass(frozen=True)
class Column:
    """How a value is shown to people.

    Attributes:
        heading: Above it.
        shown: The value in words.
        is_number: Aligned to the right, and never broken over lines.
        is_secondary: Left out of a table that would be wider than the terminal.
    """

    heading: str
    shown: Callable[[Any], str] = str
    is_number: bool = False
    is_secondary: bool = False


def show(what: RenderableType) -> None:
    """Prints something made with Rich on standard output."""
    if sys.stdout.isatty():
        _console(None).print(what)
        return
    console = _console(_WIDTH)
    with console.capture() as captured:
        console.print(what)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def show_json(content: object) -> None:
    """Prints plain values as JSON, on lines of their own."""
    sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


def show_records(
    records: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], format_: Format, title: str | None = None
) -> None:
    """Prints records.

    Args:
        records: Plain values by name. JSON and CSV have them as they are, CSV those that have a column.
        columns: By the names of what they show, in order. A missing value is a dash.
        format_: How.
        title: Above a table for people.
    """
    if format_ == "json":
        show_json(records)
    elif format_ == "csv":
        writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    elif format_ == "markdown":
        sys.stdout.write(_markdown(_table(records, columns, _escaped)) + "\n")
    else:
        table = _table(records, columns)
        if sys.stdout.isatty() and Console().measure(table).maximum > Console().width:
            table = _table(records, {name: column for name, column in columns.items() if not column.is_secondary})
        table.title = title
        show(table)


def _table(
    records: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], written: Callable[[str], str] = str
) -> Table:
    table = Table(title_justify="left")
    for column in columns.values():
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.heading, justify=justify, overflow="fold", no_wrap=column.is_number)
    for record in records:
        values = ((column, record.get(name)) for name, column in columns.items())
        table.add_row(*("—" if value is None else written(column.shown(value)) for column, value in values))
    return table


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: no cell, link or element of a page."""
    return re.sub(r"([\\|<>\[\]`*])", r"\\\1", text)


def _markdown(table: Table) -> str:
    table.box = box.MARKDOWN
    console = _console(_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get().strip()  # of the empty lines where other boxes have edges


def _console(width: int | None) -> Console:
    """Where names are text, whatever brackets and colons are in them."""
    return Console(width=width, markup=False, emoji=False, highlight=False)
