"""The output of strategies: kept apart from standard output, and limited to a screenful and a file."""

import os
import select
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from vecparity.errors import InvalidStrategyError, MachineError, StrategyFailedError, quoted, visible
from vecparity.sandbox.protocol import printable
from vecparity.sandbox.start import output_pipe

_LAST_LINES = 20
_LAST_BYTES = 16 << 10
_MOST_BYTES = 16 << 20
_PART_BYTES = 1 << 16
_PARTS_AT_CLOSE = 16
_TICK_SECONDS = 0.2
_MOST_PARTS_AT_ONCE = 50


class StrategyLog:
    """Reads a pipe in a thread, keeps the end of the output, and writes the output to a file if a path is given.

    Args:
        path: The file, which is cut off after 16 MiB.

    Raises:
        MachineError: The file cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            self._file = path.open("wb", buffering=0) if path else None
        except OSError as error:
            raise MachineError(f"strategy-log must be a file that can be written, got {error}") from error
        self._read_end, self.write_end = output_pipe()
        os.set_blocking(self._read_end, False)  # any process that writes to the pipe can reopen it and empty it
        self._last: deque[bytes] = deque()
        self._taking = threading.Lock()  # so that output is in order, in _last and in the file, whoever reads it
        self._written = 0
        self._writing = threading.Lock()  # so that each line of `note` is whole, and on a line of its own
        self._is_at_start = True
        self._source = ""
        self._is_withheld = False
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

    def withhold(self) -> None:
        """Shows nothing of the output from now on: what a strategy prints may be a secret. The file gets all of it."""
        self._is_withheld = True

    def note(self, text: str) -> None:
        """Writes a line of the evaluator's own to the file, if there is one, even beyond the file's limit.

        The line is none of the last words.
        """
        if self._file:
            with self._writing, suppress(OSError):
                self._file.write(f"{'' if self._is_at_start else chr(10)}vecparity: {visible(text)}\n".encode())
                self._is_at_start = True

    def last_words(self) -> str:
        """Returns the last lines printed, without characters that would move a terminal's cursor.

        They are a strategy's own words: show them `quoted`. There are none from `withhold` on.
        """
        if self._is_withheld:
            return ""
        with suppress(BlockingIOError):
            for _ in range(_MOST_PARTS_AT_ONCE):  # output may still be in the pipe
                if not self._take():
                    break
        with self._taking:
            last = b"".join(self._last)
        lines = printable(last).splitlines()
        return "\n".join(lines[-_LAST_LINES:])

    @contextmanager
    def noted(self, source: str) -> Iterator[None]:
        """Adds the last lines printed, since another strategy was called, to an error that a strategy caused.

        Args:
            source: Identifies the strategy that is called.
        """
        if self._source and source != self._source:
            self.last_words()  # what the other strategy printed is no longer on its way
            with self._taking:
                self._last.clear()
        self._source = source
        try:
            yield
        except (InvalidStrategyError, StrategyFailedError) as error:
            if words := self.last_words():
                error.add_note(f"Last output of strategies:\n{quoted(words)}")
            raise

    def _read(self) -> None:
        # An escaped process may hold the other end open, silent or not: while closing, only a little more is read.
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

    def _take(self) -> bytes:
        """Reads the available output, adds it to the last output, and writes it; returns b"" when the pipe is closed.

        Raises:
            BlockingIOError: There is none.
        """
        with self._taking:
            part = os.read(self._read_end, _PART_BYTES)
            self._write(part)
            self._last.append(part)
            while sum(map(len, self._last)) - len(self._last[0]) > _LAST_BYTES:
                self._last.popleft()
            return part

    def _write(self, part: bytes) -> None:
        if self._file and self._written < _MOST_BYTES:
            self._written += len(part)
            try:
                with self._writing:
                    self._file.write(part[:_MOST_BYTES])
                    self._is_at_start = part.endswith(b"\n")
            except OSError:  # keep reading even if the disk is full
                self._written = _MOST_BYTES
