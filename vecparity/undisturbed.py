"""Steps that no signal's exception may break off: waits, writing to a study, and saying what was written."""

import inspect
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Has SIGINT and SIGTERM wait until the end of the block, where they do what they would have done at once.

    An exception in the middle of a wait for a future can leave its lock held, and the thread that is to set the future
    waits for that for ever; database drivers log a traceback for one in the middle of a transaction. In threads other
    than the main one, which get no signals, this does nothing, nor where a handler is not Python's.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    if threading.current_thread() is not threading.main_thread() or None in before.values():
        yield
        return
    arrived: list[signal.Signals] = []
    try:
        for number in _SIGNALS:
            signal.signal(number, lambda number, _: arrived.append(signal.Signals(number)))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in dict.fromkeys(arrived):
            if callable(handler := before[late]):
                # Raised again it may never arrive: Ray's workers block SIGINT, and get it from Ray in another way.
                handler(late, inspect.currentframe())
            else:
                signal.raise_signal(late)
