"""The progress of cells on standard error: one live line on a terminal, else a line a minute."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, cast

from rich.live import Live
from rich.text import Text

from vecparity.cli.each_minute import EachMinute
from vecparity.cli.output import PlainConsole
from vecparity.cli.standard_streams import Lossy
from vecparity.progress.cells import CellProgress


class CellDisplay(CellProgress):
    """Shows how many cells are done, the ensemble in progress, and the time left. A `Follower` and a context.

    Args:
        num_cells: The number of all cells.
        clock: Returns the time in seconds.
    """

    def __init__(self, num_cells: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(num_cells, clock)
        console = PlainConsole(file=cast(IO[str], Lossy(sys.stderr)))
        is_live = sys.stderr.isatty() and not console.is_dumb_terminal
        live = Live(
            console=console,
            get_renderable=lambda: Text(self.in_words, no_wrap=True, overflow="ellipsis"),
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._shown = live if is_live else EachMinute(lambda: self.in_words)

    def __enter__(self) -> "CellDisplay":
        self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.stop()
