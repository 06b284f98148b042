"""A command's standard streams: always open, able to write every character, and never a reason to lose work."""

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import NoReturn, TextIO

# Plain substitutes for characters that the commands print. Rich itself replaces table lines that an encoding lacks.
_PLAIN = {"—": "-", "·": "|", "…": "...", "±": "+/-", "×": "x", "≥": ">="} | dict(
    zip("▁▂▃▄▅▆▇█", "12345678", strict=True)
)


def prepare() -> None:
    """Opens closed streams on /dev/null, and substitutes characters that a stream's encoding lacks.

    Call it before any file is opened: the file would get a closed stream's number and receive the printed output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            assert os.open(os.devnull, os.O_RDWR) == descriptor  # the lowest free number
            os.set_inheritable(descriptor, True)
    sys.stdin = sys.stdin or _nothing()
    sys.stdout = sys.stdout or _nothing()
    sys.stderr = sys.stderr or _nothing()
    codecs.register_error("vecparity.plain", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="vecparity.plain")


def leave(status: int) -> NoReturn:
    """Ends this process at once: all is written and closed by now, and unloading torch takes a third of a second."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def discard(stream: TextIO) -> None:
    """Redirects a stream to /dev/null so that the interpreter's flush at exit cannot raise."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Lossy(io.TextIOBase):
    """A stream whose output may get lost: a write failure, such as to a closed terminal, is no error.

    Args:
        stream: The stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError:
            discard(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            discard(self._stream)


def _nothing() -> TextIO:
    return open(os.devnull, "r+", encoding="utf-8")


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start]
    return _PLAIN.get(lacking) or lacking.encode("ascii", "backslashreplace").decode(), error.start + 1
