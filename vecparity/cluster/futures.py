"""Futures whose calls can be ended while they run, and the error of a worker that died."""

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any


class WorkerDiedError(BrokenExecutor):
    """The process that made a call ended before the call did; other calls go on."""


class StoppableFuture(Future[Any]):
    """A future whose call can be ended while it runs, or asked to hand back its work."""

    def __init__(self) -> None:
        super().__init__()
        self._end: Callable[[], None] = lambda: None
        self._ask: Callable[[], None] = lambda: None
        self._look: Callable[[], bool] = lambda: False

    def when_stopped(self, end: Callable[[], None]) -> None:
        """Sets the function that ends the running call, after which the future gets an error."""
        self._end = end

    def when_asked(self, ask: Callable[[], None]) -> None:
        """Sets the function that asks the running call to hand back its work, see `preemption`."""
        self._ask = ask

    def when_looked_at(self, look: Callable[[], bool]) -> None:
        """Sets the function that tells whether a signal has stopped the process of the running call."""
        self._look = look

    def is_frozen(self) -> bool:
        """Returns True if the call does not go on because a signal has stopped its process."""
        return self._look()

    def ask_back(self) -> None:
        """Cancels the call, or asks it to hand back its work if it is running."""
        if not self.cancel():
            self._ask()

    def stop(self) -> None:
        """Cancels the call, or ends it if it is running."""
        if not self.cancel():
            self._end()


def drop(future: "Future[Any]") -> None:
    """Cancels a call whose result nobody waits for; an executor that cannot end a running call finishes it."""
    if isinstance(future, StoppableFuture):
        future.stop()
    else:
        future.cancel()
