"""A small table of texts: how a comparison or a leaderboard shows itself where it is only named."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from vecparity.errors import visible, visible_cell


@dataclass(frozen=True)
class Heading:
    """A column's heading; the texts below a number's are aligned on the right."""

    text: str
    is_number: bool = False


@dataclass(frozen=True)
class TextTable:
    """A table; ``str`` aligns its columns.

    Attributes:
        title: A line above.
        columns: The headings.
        rows: One text for each column, of each row.
        notes: Sentences below.
    """

    title: str
    columns: Sequence[Heading]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]

    def __str__(self) -> str:
        texts = [[column.text for column in self.columns], *self.rows]
        rows = [list(map(visible_cell, row)) for row in texts]
        widths = [max(map(cell_len, texts)) for texts in zip(*rows, strict=True)]
        lines = ["  ".join(map(_padded, row, widths, self.columns)).rstrip() for row in rows]
        return "\n".join([visible(self.title), *lines, *map(visible, self.notes)])


def _padded(text: str, width: int, column: Heading) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if column.is_number else text + blanks
