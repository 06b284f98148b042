"""A line a minute on standard error, where there is no terminal to draw on."""

from collections.abc import Callable
from threading import Event, Thread

from vecparity.cli.messages import say

_SECONDS_BETWEEN_LINES = 60.0


class EachMinute:
    """Says a line each minute, from a thread of its own, between `start` and `stop`.

    Args:
        line: Returns the line, or None if there is nothing to say.
    """

    def __init__(self, line: Callable[[], str | None]) -> None:
        self._line = line
        self._is_over = Event()
        self._speaker = Thread(target=self._say, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._speaker.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._is_over.set()
        self._speaker.join()

    def _say(self) -> None:
        while not self._is_over.wait(_SECONDS_BETWEEN_LINES):
            if line := self._line():
                say(line)
