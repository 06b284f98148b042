"""A command's standard input, output and error: open, taking every character, and never a reason to lose work."""

import codecs
import io
import os
import sys
from typing import TextIO

# Of what the commands print. The lines of tables are Rich's, which draws others where these cannot be had.
_PLAIN = {"—": "-", "·": "|", "…": "...", "±": "+/-", "×": "x", "≤": "<="} | dict(
    zip("▁▂▃▄▅▆▇█", "12345678", strict=True)
)


def prepare() -> None:
    """Opens those that are closed on nothing, and has what an encoding lacks written in its characters.

    To be called before any file is opened: it would get a closed stream's number, and what is printed would go there.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            assert os.open(os.devnull, os.O_RDWR) == descriptor  # the lowest that is free
            os.set_inheritable(descriptor, True)
    sys.stdin = sys.stdin or _nothing()
    sys.stdout = sys.stdout or _nothing()
    sys.stderr = sys.stderr or _nothing()
    codecs.register_error("vecparity.plain", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="vecparity.plain")


def discard(stream: TextIO) -> None:
    """Sends what is still to be written to a stream nowhere, the interpreter's own last flush included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


class Lossy(io.TextIOBase):
    """A stream for what may get lost: that it takes no more, as one to a terminal that is gone, is no error.

    Args:
        stream: Where to write to.
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
