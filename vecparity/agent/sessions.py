"""The sessions of a server: a bounded number, each for whoever knows its key, and gone when idle for long."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vecparity.agent.evaluators import Evaluators, stopped_error
from vecparity.agent.session import Session
from vecparity.agent.settings import SessionSettings
from vecparity.errors import UsageError, brief

# A call waits so long for one before it that was cancelled and is about to end.
_PATIENCE_SECONDS = 10.0


@dataclass
class _Held:
    session: Session
    used_at: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: threading.Lock = field(default_factory=threading.Lock)


class Sessions:
    """Sessions by their keys, which nobody can guess. All threads may use it.

    Args:
        evaluators: See `Session`.
        settings: The rules of all sessions.
        directory: A directory in which each session has one of its own, named by the server; or None.
        most: The most sessions at a time.
        idle_seconds: A session that nobody has used for so long ends when there is need of its place or it is named.
        clock: Returns the time in seconds.

    Attributes:
        evaluators: See above.
        settings: See above.
        names: The names of all sessions that have begun.

    Raises:
        UsageError: A number is not above 0.
    """

    def __init__(
        self,
        evaluators: Evaluators,
        settings: SessionSettings,
        directory: Path | None = None,
        *,
        most: int = 32,
        idle_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if most < 1:
            raise UsageError(f"the number of sessions must be at least 1, got {most}")
        if not idle_seconds > 0:
            raise UsageError(f"the seconds until an idle session ends must be above 0, got {idle_seconds}")
        self.evaluators = evaluators
        self.settings = settings
        self.names: set[str] = set()
        self._directory = directory
        self._most = most
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._changing = threading.Lock()
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def begin(self) -> tuple[str, Session]:
        """Begins a session, and returns its key and the session.

        Raises:
            UsageError: There are as many sessions as there may be, and none is idle.
            MachineError: The session's directory cannot be written.
        """
        with self._changing:
            self._end_idle()
            if len(self._held) >= self._most:
                raise UsageError(f"expected at most {self._most} sessions at a time, got one more: try again later")
            own = None if self._directory is None else self._directory / f"session_{secrets.token_hex(4)}"
            session = Session(self.evaluators, self.settings, own)
            key = secrets.token_hex(16)
            self._held[key] = _Held(session, self._clock())
            self.names.add(session.name)
        return key, session

    @contextmanager
    def held(self, key: str, stopped: threading.Event) -> Iterator[Session]:
        """Holds a session for one call.

        Args:
            key: The session's key.
            stopped: Once set, by another thread, the call is not to be carried out.

        Raises:
            UsageError: There is no such session; or another call holds it for long, or waits for it already.
            InterruptedTrainingError: ``stopped`` was set before the session was held.
        """
        with self._changing:
            self._end_idle()
            held = self._held.get(key)
        if held is None:
            raise UsageError(
                f"expected the key of a session, as begin returns it, got {brief(key)} (it may have ended)"
            )
        if not _acquired(held):
            raise UsageError("the session is busy: wait for the answer to its test")
        try:
            if stopped.is_set():
                raise stopped_error()
            yield held.session
        finally:
            held.used_at = self._clock()
            held.lock.release()

    def _end_idle(self) -> None:
        now = self._clock()
        for key, held in list(self._held.items()):
            if not held.lock.locked() and now - held.used_at > self._idle_seconds:
                del self._held[key]


def _acquired(held: _Held) -> bool:
    """Takes a session for a call, and returns whether it has; one call at most waits for it."""
    if held.lock.acquire(blocking=False):
        return True
    if not held.waiting.acquire(blocking=False):
        return False
    try:
        return held.lock.acquire(timeout=_PATIENCE_SECONDS)
    finally:
        held.waiting.release()
