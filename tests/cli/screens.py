"""Screens that commands leave on terminals of several widths: run as a program, it is what the terminal shows.

`screens` has all commands run in one process, at a real pseudo-terminal, and reads what an emulator makes of it.
"""

import fcntl
import functools
import json
import os
import pty
import struct
import sys
import termios
import threading
from collections.abc import Sequence
from typing import NamedTuple

import pyte
from processes import Child

_HEIGHT = 40
# Written behind each command's output.
_END = "\x1e"


class Screen(NamedTuple):
    """A screen.

    Attributes:
        status: The command's exit status.
        lines: The lines on it, without blanks at their ends unless they go on in the next.
        folded: The indices of lines that go on from the line before, where the terminal had no room.
    """

    status: int
    lines: list[str]
    folded: set[int]


class _Folding(pyte.Screen):
    """Notes where a line was too long for the screen."""

    def __init__(self, width: int, height: int) -> None:
        self.folded: set[int] = set()
        super().__init__(width, height)

    def draw(self, data: str) -> None:
        for character in data:
            if self.cursor.x == self.columns:
                self.folded.add(self.cursor.y + 1)
            super().draw(character)


def screens(commands: Sequence[Sequence[str]], widths: Sequence[int]) -> dict[tuple[int, int], Screen]:
    """Returns the screen of each command (by its index) at each width."""
    parent, terminal = pty.openpty()
    arguments = json.dumps([commands, widths])
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with Child(
        [sys.executable, __file__, arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment | {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    ) as child:
        os.close(terminal)
        written = b""
        while piece := _read(parent):
            written += piece
        child.wait()
    os.close(parent)
    parts = written.decode().split(_END)
    assert (child.returncode, len(parts)) == (0, len(commands) * len(widths) + 1), written.decode()[-3_000:]
    places = [(number, width) for width in widths for number in range(len(commands))]
    return {place: _screen(part, place[1]) for place, part in zip(places, parts, strict=False)}


def _read(parent: int) -> bytes:
    try:
        return os.read(parent, 1 << 16)
    except OSError:  # Linux's end of a terminal that nobody has open
        return b""


def _screen(part: str, width: int) -> Screen:
    output, _, status = part.rpartition("\n")
    screen = _Folding(width, height=output.count("\n") + len(output) // width + 2)  # high enough for everything
    pyte.Stream(screen).feed(output)
    lines = [line if row + 1 in screen.folded else line.rstrip() for row, line in enumerate(screen.display)]
    while lines and not lines[-1]:
        lines.pop()
    return Screen(int(status), lines, screen.folded)


def _main(commands: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    from vecparity.cli.commands import check
    from vecparity.cli.main import main
    from vecparity.inspection import checking, doctor

    check._PATIENCE_SECONDS = threading.TIMEOUT_MAX  # says nothing of a busy machine

    # Both take seconds, and answer the same at each width.
    doctor.diagnose = functools.cache(doctor.diagnose)
    checks = functools.cache(lambda strategy, configs, *options: check_all(strategy, list(configs), *options))
    check_all = checking.check_all
    checking.check_all = lambda strategy, configs, *options: checks(strategy, tuple(configs), *options)
    for width in widths:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", _HEIGHT, width, 0, 0))
        for command in commands:
            status = main(command)
            sys.stdout.write(f"\n{status}{_END}")
            sys.stdout.flush()


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
