"""A table of records that fits the terminal: minor columns are left out first, then long names are shortened."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from vecparity.errors import visible_cell

_MISSING = "—"
_EMPTY = {"", _MISSING}
_WORD = re.compile(r"[\w+-][\w.,+:-]*( [\d:]+)?", re.ASCII)
_ELLIPSIS = "…"
# Cells to which a name is shortened at least: a terminal too narrow for that cuts the lines.
_SHORTEST = 5
# Cells of a long text, such as a note, that are shown where there is no room for all of it.
_PART = 20


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: The column's heading.
        shown: Formats a value.
        is_number: True to align values to the right and never shorten them.
        rank: 0 for a column that is always shown. In a terminal too narrow for all others, those of the lowest ranks
            are shown.
    """

    heading: str
    shown: Callable[[Any], str] = str
    is_number: bool = False
    rank: int = 0


class FittedTable:
    """A renderable table that takes no more than the width it is given, and names the columns that it leaves out.

    Columns of rank 0 are shown in any case; the others, by rank, as long as there is room, and a long text in part. If
    there is no room even for those of rank 0, their texts are shortened in the middle. No cell is broken over lines.

    Args:
        records: Plain values by name. A missing value is shown as a dash.
        columns: The columns in order, by the names of the values.
        is_boxed: True for lines around the cells.
        remedy: Says where the columns that are left out are shown.
    """

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]],
        columns: Mapping[str, Column],
        *,
        is_boxed: bool = True,
        remedy: str = "--wide shows all",
    ) -> None:
        self._columns = list(columns.values())
        self._is_boxed = is_boxed
        self._remedy = remedy
        self._cells = [
            [
                _MISSING if (value := record.get(name)) is None else visible_cell(column.shown(value))
                for name, column in columns.items()
            ]
            for record in records
        ]
        self._widths = [
            max(map(cell_len, (column.heading, *(row[index] for row in self._cells))))
            for index, column in enumerate(self._columns)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        widths = self._fitting(options.max_width)
        yield self._table(widths)
        if left_out := [column.heading for index, column in enumerate(self._columns) if index not in widths]:
            yield Text(f"left out: {', '.join(left_out)} ({self._remedy})", style="dim")

    def whole(self) -> Table:
        """Returns the table with all columns, whatever the width."""
        return self._table(dict(enumerate(self._widths)))

    def plain(self, *, whole: bool = False) -> list[RenderableType]:
        """Returns the table for where there is no terminal, and readers pay for characters.

        It has no lines around the cells. Of columns of rank 1 or more those in which every cell is empty are left out,
        and a word or number that is the same in every row is said once, above.

        Args:
            whole: True for all columns.
        """
        widths, same = {}, []
        for index, column in enumerate(self._columns):
            values = {row[index] for row in self._cells}
            if column.rank and self._cells and not whole:
                if values <= _EMPTY:
                    continue
                # A text of several words could pose as other columns.
                if len(self._cells) > 1 and len(values) == 1 and _WORD.fullmatch(next(iter(values))):
                    same.append(f"{column.heading} {values.pop()}")
                    continue
            widths[index] = self._widths[index]
        table = self._with_rows(Table(box=None, padding=(0, 2, 0, 0), pad_edge=False), widths)
        return [f"all: {', '.join(same)}", table] if same else [table]

    def _fitting(self, width: int) -> dict[int, int]:
        """Returns the width of each column that is shown in a table of some width, by its index."""
        widths = {index: self._widths[index] for index, column in enumerate(self._columns) if not column.rank}
        texts = [index for index in widths if not self._columns[index].is_number]
        while (
            self._total(widths) > width and (longest := max((widths[index] for index in texts), default=0)) > _SHORTEST
        ):
            widths |= {index: longest - 1 for index in texts if widths[index] == longest}
        for index in sorted(range(len(self._columns)), key=lambda index: self._columns[index].rank):
            part = self._widths[index] if self._columns[index].is_number else min(self._widths[index], _PART)
            for wanted in (self._widths[index], part):
                if index not in widths and self._total(widths | {index: wanted}) <= width:
                    widths[index] = wanted
        return dict(sorted(widths.items()))

    def _total(self, widths: Mapping[int, int]) -> int:
        """Returns the width of a table of some columns, with the lines and the blanks between them."""
        return sum(widths.values()) + (3 * len(widths) + 1 if self._is_boxed else len(widths))

    def _table(self, widths: Mapping[int, int]) -> Table:
        boxed = Table() if self._is_boxed else Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
        return self._with_rows(boxed, widths)

    def _with_rows(self, table: Table, widths: Mapping[int, int]) -> Table:
        for index in widths:
            column = self._columns[index]
            table.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
        for row in self._cells:
            table.add_row(*(shortened(row[index], width) for index, width in widths.items()))
        return table


def shortened(text: str, width: int) -> str:
    """Returns the text in at most ``width`` cells, with an ellipsis in place of its middle if it is longer."""
    if cell_len(text) <= width:
        return text
    head = width // 2
    tail = width - head - cell_len(_ELLIPSIS)
    return set_cell_size(text, head) + _ELLIPSIS + set_cell_size(text[::-1], tail)[::-1]
