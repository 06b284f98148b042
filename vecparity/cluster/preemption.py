"""Preemption: at a signal, a worker hands its work back, with a checkpoint if it keeps any, before it ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Schedulers end processes with the first; Ray cancels a task with the second.
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Request:
    """The request of a signal that arrived during this process's last work."""

    has_arrived = False


def has_arrived() -> bool:
    """Returns True if a signal arrived during the last work: the process should end."""
    return _Request.has_arrived


@contextmanager
def heeded(is_on: bool) -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether a signal has arrived, of which none ends the process within the block.

    Outside the main thread signals are left alone.

    Args:
        is_on: False where signals are left alone, too: a pool of Python's own that has lost a process ends the others
            by a signal, and waits for their end.
    """
    _Request.has_arrived = False
    if not is_on or threading.current_thread() is not threading.main_thread():
        yield has_arrived
        return
    before = {number: signal.signal(number, _handle) for number in _SIGNALS}
    try:
        yield has_arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set in Python


def _handle(number: int, frame: FrameType | None) -> None:
    _Request.has_arrived = True
