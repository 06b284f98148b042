"""SIGINT and SIGTERM: a first signal during what can be kept asks it to stop soon; any other stops it at once."""

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Handles the two signals within a ``with`` in the main thread; in other threads it does nothing.

    Attributes:
        can_be_kept: True while what is in progress can be kept, and whoever has it asks whether it is `requested`.
    """

    def __init__(self) -> None:
        self.can_be_kept = False
        self._is_requested = False

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        else:
            self._before = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def requested(self) -> bool:
        """Returns True if a signal has arrived."""
        return self._is_requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_requested or not self.can_be_kept:
            raise KeyboardInterrupt
        self._is_requested = True
