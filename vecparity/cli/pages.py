"""Pages of Markdown on a terminal, with tables whose words and numbers stay whole in any width."""

from collections.abc import Iterator
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

# Cells between two columns, and those at both edges of a table.
_BETWEEN = 2


class _FittedTableElement(TableElement):
    """A table with no column narrower than its longest word or, where there is no room for that, a list of its rows."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        (table,) = super().__rich_console__(console, options)
        assert isinstance(table, Table)
        ranges = [
            Measurement.get(console, options, Text("\n").join(self._texts(index)))
            for index in range(len(table.columns))
        ]
        room = options.max_width - _BETWEEN * len(ranges) - sum(words.minimum for words in ranges)
        if room < 0:
            yield from self._as_list(table)
            return
        wanted = sum(words.maximum - words.minimum for words in ranges)
        share = min(1.0, room / wanted) if wanted else 0.0
        for column, words in zip(table.columns, ranges, strict=True):
            column.width = words.minimum + int(share * (words.maximum - words.minimum))
        yield table

    def _texts(self, index: int) -> list[Text]:
        """Returns a column's heading and cells."""
        rows = [self.header.row] if self.header and self.header.row else []
        rows += self.body.rows if self.body else []
        return [row.cells[index].content for row in rows]

    def _as_list(self, table: Table) -> Iterator[RenderableType]:
        columns = [self._texts(index) for index in range(len(table.columns))]
        headings, *rows = zip(*columns, strict=True)
        for row in rows:
            for number, (heading, text) in enumerate(zip(headings, row, strict=True)):
                fact = Text(f"{heading.plain}: ", style="dim") + Text(text.plain, style="not dim")
                yield Padding(fact, (0, 0, 0, _BETWEEN)) if number else Text("\n") + fact


class MarkdownPage(Markdown):
    """A page of Markdown."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": _FittedTableElement}
