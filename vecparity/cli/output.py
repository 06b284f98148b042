"""The commands' output: records as a table for people, or as Markdown, CSV or JSON."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from vecparity.errors import visible

Format = Literal["table", "markdown", "csv", "json"]
# Width without a terminal, large enough that nothing is cut.
_WIDTH = 1_000
# The beginning of what spreadsheets take for a formula, behind any blanks; and numbers, which are none.
_FORMULA = re.compile(r"[\s\x00]*[=+\-@＝＋－＠]")
_NUMBERS = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?( [+-]?[\d.]+(e[+-]?\d+)?)*", re.ASCII)


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


class PlainConsole(Console):
    """A console on which names are only names: no markup, and an escape for everything that cannot be printed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Makes a cell, a heading or a title of plain text, which is one line."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Escapes what is left, in text that came with a style or with lines of its own."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment("\n".join(map(visible, segment.text.split("\n"))), segment.style)


def show(*renderables: RenderableType) -> None:
    """Prints Rich renderables on standard output. A text is one line, never folded: it may have a stranger's words."""
    if sys.stdout.isatty():
        _print(PlainConsole(), renderables)
        return
    console = PlainConsole(width=_WIDTH)
    with console.capture() as captured:
        _print(console, renderables)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().split("\n")[:-1]))


def _print(console: Console, renderables: Sequence[RenderableType]) -> None:
    for renderable in renderables:
        console.print(renderable, soft_wrap=isinstance(renderable, str))


def show_json(content: object) -> None:
    """Prints plain values as JSON, on lines of their own."""
    sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


def show_records(
    records: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], format_: Format, title: str | None = None
) -> None:
    """Prints records.

    Args:
        records: Plain values by name. JSON has all of them unchanged; CSV has those with a column, the numbers
            unchanged and texts as `cell` writes them.
        columns: The columns in order, by the names of the values. A missing value is shown as a dash.
        format_: The output format.
        title: The title of a table for people.
    """
    if format_ == "json":
        show_json(records)
    elif format_ == "csv":
        writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: cell(value) for name, value in record.items()} for record in records)
    elif format_ == "markdown":
        sys.stdout.write(_markdown(_table(records, columns, _escaped)) + "\n")
    else:
        table = _table(records, columns)
        if sys.stdout.isatty() and Console().measure(table).maximum > Console().width:
            table = _table(records, {name: column for name, column in columns.items() if not column.is_secondary})
        show(*([title] if title else []), table)


def cell(value: object) -> object:
    """Returns a value for CSV: a text is one line, and behind an apostrophe if a spreadsheet would calculate it."""
    if not isinstance(value, str):
        return value
    is_formula = _FORMULA.match(value) and not _NUMBERS.fullmatch(value)
    return f"'{visible(value)}" if is_formula else visible(value)


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
    return re.sub(r"([\\|<>\[\]`*&])", r"\\\1", visible(text))


def _markdown(table: Table) -> str:
    table.box = box.MARKDOWN
    console = PlainConsole(width=_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get().strip()  # removes the empty lines where other boxes have edges
