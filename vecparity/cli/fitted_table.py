"""A table of records that fits the terminal: minor columns are left out first, then long names are shortened."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from vecparity.errors import visible

_MISSING = "—"
_ELLIPSIS = "…"
# Cells to which a name is shortened at least: a terminal too narrow for that cuts the lines.
_SHORTEST = 5


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

    Columns of rank 0 are shown in any case; the others, by rank, as long as there is room. If there is none even for
    those of rank 0, their texts are shortened in the middle. No cell is broken over lines.

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
                _MISSING if (value := record.get(name)) is None else visible(column.shown(value))
                for name, column in columns.items()
            ]
            for record in records
        ]
        self._widths = [
            max(map(cell_len, (column.heading, *(row[index] for row in self._cells))))
            for index, column in enumerate(self._columns)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        kept = self._kept(options.max_width)
        yield self._table(kept, self._limit(kept, options.max_width))
        if left_out := [column.heading for index, column in enumerate(self._columns) if index not in kept]:
            yield Text(f"left out: {', '.join(left_out)} ({self._remedy})", style="dim")

    def whole(self) -> Table:
        """Returns the table with all columns, whatever the width."""
        kept = range(len(self._columns))
        return self._table(kept, max(self._widths))

    def _kept(self, width: int) -> list[int]:
        """Returns the indices of the columns that are shown in a width."""
        kept: list[int] = []
        for index in sorted(range(len(self._columns)), key=lambda index: self._columns[index].rank):
            if not self._columns[index].rank or self._total([*kept, index]) <= width:
                kept.append(index)
        return sorted(kept)

    def _total(self, kept: Sequence[int], limit: int | None = None) -> int:
        """Returns the width of a table of some columns, with texts of at most ``limit`` cells."""
        return self._lines(len(kept)) + sum(
            width if limit is None or self._columns[index].is_number else min(width, limit)
            for index, width in ((index, self._widths[index]) for index in kept)
        )

    def _lines(self, num_columns: int) -> int:
        """Returns the cells that the lines and the spaces between the columns take."""
        return 3 * num_columns + 1 if self._is_boxed else num_columns

    def _limit(self, kept: Sequence[int], width: int) -> int:
        """Returns the most cells of a text with which the table fits."""
        limit = max(self._widths[index] for index in kept)
        while limit > _SHORTEST and self._total(kept, limit) > width:
            limit -= 1
        return limit

    def _table(self, kept: Sequence[int], limit: int) -> Table:
        table = Table() if self._is_boxed else Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
        for index in kept:
            column = self._columns[index]
            table.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
        for row in self._cells:
            table.add_row(
                *(row[index] if self._columns[index].is_number else shortened(row[index], limit) for index in kept)
            )
        return table


def shortened(text: str, width: int) -> str:
    """Returns the text in at most ``width`` cells, with an ellipsis in place of its middle if it is longer."""
    if cell_len(text) <= width:
        return text
    head = width // 2
    tail = width - head - cell_len(_ELLIPSIS)
    return set_cell_size(text, head) + _ELLIPSIS + set_cell_size(text[::-1], tail)[::-1]
