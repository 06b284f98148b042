"""The progress of cells on standard error: one live line on a terminal, else a line a minute."""

import sys
import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import IO, cast

from rich.live import Live
from rich.text import Text

from vecparity.cli.messages import say
from vecparity.cli.output import PlainConsole
from vecparity.cli.standard_streams import Lossy
from vecparity.progress.cells import CellProgress

_SECONDS_BETWEEN_LINES = 60.0


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
        self._live = Live(
            console=console,
            get_renderable=lambda: Text(self.in_words, no_wrap=True, overflow="ellipsis"),
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._is_over = Event()
        self._speaker = None if is_live else Thread(target=self._say_each_minute, daemon=True)

    def __enter__(self) -> "CellDisplay":
        if self._speaker is None:
            self._live.start()
        else:
            self._speaker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._speaker is None:
            self._live.stop()
        else:
            self._is_over.set()
            self._speaker.join()

    def _say_each_minute(self) -> None:
        while not self._is_over.wait(_SECONDS_BETWEEN_LINES):
            say(self.in_words)
