"""What strategies print: kept apart from standard output, and never more of it than a screenful and a file."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from vecparity.errors import InvalidStrategyError, MachineError, StrategyFailedError
from vecparity.sandbox.protocol import printable
from vecparity.sandbox.start import output_pipe

_LAST_LINES = 20
_LAST_BYTES = 16 << 10
_MOST_BYTES = 16 << 20
_PART_BYTES = 1 << 16
_PARTS_AT_CLOSE = 16
_TICK_SECONDS = 0.2
# What has been printed is still being read when it is asked for.
_READING_SECONDS = 0.01
_MOST_PARTS_WAITED_FOR = 50


class StrategyLog:
    """Reads, in a thread, what is written to a pipe; keeps the end of it, and writes it to a file if there is one.

    Args:
        path: The file, which ends after 16 MiB.

    Raises:
        MachineError: The file cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            self._file = path.open("wb", buffering=0) if path else None
        except OSError as error:
            raise MachineError(f"strategy-log must be a file that can be written, got {error}") from error
        self._read_end, self.write_end = output_pipe()
        os.set_blocking(self._read_end, False)  # who can write to it can open it, and read what was there to be read
        self._last: deque[bytes] = deque()
        self._taking = threading.Lock()  # what has left the pipe is among the last, for who asks meanwhile
        self._written = 0
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="strategy-log", daemon=True)
        self._thread.start()

    def __enter__(self) -> "StrategyLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.write_end)
        self._is_closing.set()
        self._thread.join()
        os.close(self._read_end)
        if self._file:
            self._file.close()

    def last_words(self) -> str:
        """The last lines printed, without what would move a terminal's cursor."""
        for _ in range(_MOST_PARTS_WAITED_FOR):
            if not select.select([self._read_end], [], [], 0)[0]:
                break
            time.sleep(_READING_SECONDS)
        with self._taking:
            last = b"".join(self._last)
        lines = printable(last).splitlines()
        return "\n".join(lines[-_LAST_LINES:])

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Adds the last words to what is raised because of a strategy."""
        try:
            yield
        except (InvalidStrategyError, StrategyFailedError) as error:
            if words := self.last_words():
                error.add_note(f"What strategies had printed:\n{words}")
            raise

    def _read(self) -> None:
        # A process that has got away may hold the other end, silent or not: closing, little more is read.
        parts_left = _PARTS_AT_CLOSE
        while parts_left:
            is_closing = self._is_closing.is_set()
            parts_left -= is_closing
            if not select.select([self._read_end], [], [], _TICK_SECONDS)[0]:
                if is_closing:
                    return
                continue
            try:
                part = self._take()
            except BlockingIOError:
                continue
            if not part:
                return
            self._write(part)

    def _take(self) -> bytes:
        """Reads what there is, and keeps it among the last; nothing when the pipe is closed."""
        with self._taking:
            part = os.read(self._read_end, _PART_BYTES)
            self._last.append(part)
            while sum(map(len, self._last)) - len(self._last[0]) > _LAST_BYTES:
                self._last.popleft()
            return part

    def _write(self, part: bytes) -> None:
        if self._file and self._written < _MOST_BYTES:
            self._written += len(part)
            try:
                self._file.write(part[:_MOST_BYTES])
            except OSError:  # a full disk is no reason to stop reading
                self._written = _MOST_BYTES
