"""A running search's progress on standard error: the best trials and what is trained, live, or in a line a minute."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, cast

from rich.live import Live

from vecparity.cli.each_minute import EachMinute
from vecparity.cli.output import PlainConsole
from vecparity.cli.standard_streams import Lossy
from vecparity.tuning.search_progress import SearchProgress


class SearchDisplay(SearchProgress):
    """Shows a search's progress within a ``with``.

    Args:
        enabled: True for a live display, False for none; by default live on a terminal, else in lines.
        title: A line above: what is searched.
        clock: Returns the time in seconds.
    """

    def __init__(self, enabled: bool | None, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(title, clock)
        console = PlainConsole(file=cast(IO[str], Lossy(sys.stderr)), force_terminal=True if enabled else None)
        is_terminal = sys.stderr.isatty() and not console.is_dumb_terminal
        self._shown: Live | EachMinute | None = None
        if is_terminal if enabled is None else enabled:
            self._shown = Live(console=console, get_renderable=self.__rich__, transient=True, redirect_stdout=False)
        elif enabled is None:
            self._shown = EachMinute(lambda: self.in_words)

    def __enter__(self) -> "SearchDisplay":
        if self._shown is not None:
            self._shown.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown.stop()
