"""The commands' output: records as a table for people, or as Markdown, CSV or JSON."""

import csv
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from vecparity.cli import json_lines
from vecparity.cli.fitted_table import Column, FittedTable
from vecparity.errors import visible

Format = Literal["table", "markdown", "csv", "json"]
# Width without a terminal, large enough that nothing is cut.
_WIDTH = 10_000
# The beginning of what spreadsheets take for a formula, behind any blanks; and numbers, which are none.
_FORMULA = re.compile(r"[\s\x00]*[=+\-@＝＋－＠]")
_NUMBERS = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?( [+-]?[\d.]+(e[+-]?\d+)?)*", re.ASCII)


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


def show(*renderables: RenderableType, wide: bool = False) -> None:
    """Prints Rich renderables on standard output.

    Args:
        renderables: What to print. A text is one line, never folded: it may have a stranger's words.
        wide: True for lines of any length on a terminal, too.
    """
    if sys.stdout.isatty():
        _print(PlainConsole(width=_WIDTH if wide else None), renderables)
        return
    sys.stdout.write(plain_text(*renderables))


def plain_text(*renderables: RenderableType) -> str:
    """Returns Rich renderables as text for where there is no terminal: nothing is cut, and no line ends in blanks."""
    console = PlainConsole(width=_WIDTH)
    with console.capture() as captured:
        _print(console, renderables)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().split("\n")[:-1])


def _print(console: Console, renderables: Sequence[RenderableType]) -> None:
    for renderable in renderables:
        console.print(renderable, soft_wrap=isinstance(renderable, str))


def show_json(content: object) -> None:
    """Prints plain values as JSON, on lines of their own; with ``--json`` one line, or one for each item of a list."""
    if json_lines.is_on():
        json_lines.write(content if isinstance(content, list) else [content])
    else:
        sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")


def show_records(
    records: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Column],
    format_: Format,
    title: str | None = None,
    *,
    wide: bool = False,
) -> None:
    """Prints records.

    Args:
        records: Plain values by name. JSON has all of them unchanged; CSV has those with a column, the numbers
            unchanged and texts as `cell` writes them.
        columns: The columns in order, by the names of the values.
        format_: The output format.
        title: The title of a table for people.
        wide: True for a table of all columns, though it is wider than the terminal.
    """
    if format_ == "json":
        show_json(records)
    elif format_ == "csv":
        writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: cell(value) for name, value in record.items()} for record in records)
    elif format_ == "markdown":
        sys.stdout.write(_markdown(records, columns) + "\n")
    else:
        table = FittedTable(records, columns)
        titles = [title if wide else _folded(title)] if title else []
        show(*titles, *([table] if sys.stdout.isatty() else table.plain(whole=wide)), wide=wide)


def _folded(title: str) -> RenderableType:
    """Returns a title for the terminal's width. Later lines are indented: a line begins with no stranger's words."""
    if not sys.stdout.isatty():
        return title
    width = PlainConsole().width
    return Text(textwrap.fill(visible(title), width, subsequent_indent="  ", break_on_hyphens=False))


def cell(value: object) -> object:
    """Returns a value for CSV: a text is one line, and behind an apostrophe if a spreadsheet would calculate it."""
    if not isinstance(value, str):
        return value
    is_formula = _FORMULA.match(value) and not _NUMBERS.fullmatch(value)
    return f"'{visible(value)}" if is_formula else visible(value)


def _markdown(records: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]) -> str:
    escaped = {name: replace(column, shown=_literally(column.shown)) for name, column in columns.items()}
    table = FittedTable(records, escaped).whole()
    table.box = box.MARKDOWN
    console = PlainConsole(width=_WIDTH)
    with console.capture() as captured:
        console.print(table)
    return captured.get().strip()  # removes the empty lines where other boxes have edges


def _literally(shown: Callable[[Any], str]) -> Callable[[Any], str]:
    """Returns a format that escapes what Markdown would take for a cell, a link or an element."""
    return lambda value: re.sub(r"([\\|<>\[\]`*&])", r"\\\1", visible(shown(value)))
