"""The commands' output: records as a table for people, or as Markdown, CSV or JSON."""

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
# Width without a terminal, large enough that nothing is cut.
_WIDTH = 1_000


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: The column's heading.
        shown: Formats a value.
        is_number: True to align values to the right and never break them over lines.
        is_secondary: True to omit the column from a table that would be wider than the terminal.
    """

    heading: str
    shown: Callable[[Any], str] = str
    is_number: bool = False
    is_secondary: bool = False


def show(renderable: RenderableType) -> None:
    """Prints a Rich renderable on standard output."""
    if sys.stdout.isatty():
        _console(None).print(renderable)
        return
    console = _console(_WIDTH)
    with console.capture() as captured:
        console.print(renderable)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def show_json(content: object) -> None:
    """Prints plain values as JSON, on lines of their own."""
    sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


def show_records(
    records: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], format_: Format, title: str | None = None
) -> None:
    """Prints records.

    Args:
        records: Plain values by name. JSON has all of them unchanged; CSV has those with a column, unchanged.
        columns: The columns in order, by the names of the values. A missing value is shown as a dash.
        format_: The output format.
        title: The title of a table for people.
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
    """Escapes text so that Markdown shows it literally, not as a cell, link or element."""
    return re.sub(r"([\\|<>\[\]`*])", r"\\\1", text)


def _markdown(table: Table) -> str:
    table.box = box.MARKDOWN
    console = _console(_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get().strip()  # removes the empty lines where other boxes have edges


def _console(width: int | None) -> Console:
    """Returns a console without markup, so that brackets and colons in names are plain text."""
    return Console(width=width, markup=False, emoji=False, highlight=False)
