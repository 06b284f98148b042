"""Records the live display of an evaluation, for the README: what a terminal shows near its end, as an SVG.

python -m benchmarks.recording
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "vecparity" / "guide" / "recording.svg"
COMMAND = ("vecparity", "eval", "isolated_cube", "--all-configs")
_COLUMNS, _LINES = 118, 14
# The row of the last configuration, when its runs have learnt something and none has stopped.
_SHOWN = re.compile(r"n64-k8 training +(500|750|1,000)/")


def recorded(command: tuple[str, ...] = COMMAND) -> pyte.Screen:
    """Runs the command on a pseudo-terminal; returns its screen while the last configuration trains.

    Raises:
        SystemExit: The command ended before.
    """
    screen = pyte.Screen(_COLUMNS, _LINES)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
    with tempfile.TemporaryDirectory() as home:  # so that the evaluation enters no history of the user's
        variables = {**os.environ, "XDG_DATA_HOME": home, "XDG_CACHE_HOME": home, "TERM": "xterm-256color"}
        variables |= {"COLUMNS": str(_COLUMNS), "LINES": str(_LINES), "COLORTERM": "truecolor"}
        words = [sys.executable, "-m", *command]
        with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=variables, cwd=home) as process:
            os.close(theirs)
            while not any(map(_SHOWN.search, screen.display)):
                try:
                    stream.feed(os.read(ours, 1 << 16))
                except OSError as error:  # the terminal is closed
                    raise SystemExit(f"the command ended before its last configuration was seen: {error}") from error
            process.terminate()
            process.wait()
    os.close(ours)
    return screen


def coloured(screen: pyte.Screen) -> Text:
    """Returns a screen's lines with their colours."""
    lines = []
    for line in range(screen.lines):
        cells: list[Any] = [screen.buffer[line][column] for column in range(screen.columns)]
        text = Text()
        for style, alike in groupby(cells, _style):
            text.append("".join(cell.data for cell in alike), style)
        text.rstrip()
        lines.append(text)
    while not lines[-1]:
        lines.pop()
    return Text("\n").join(lines)


def _style(cell: Any) -> Style:
    def colour(name: str) -> str | None:
        if name == "default":
            return None
        named = {"brown": "yellow"}.get(name, name).replace("bright", "bright_")
        return f"#{name}" if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name) else named

    return Style(color=colour(cell.fg), bgcolor=colour(cell.bg), bold=cell.bold, italic=cell.italics)


def main() -> None:
    """Writes the picture."""
    console = Console(record=True, width=_COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(Text(f"$ {' '.join(COMMAND)}", "bold"))
    console.print(coloured(recorded()), soft_wrap=True)
    console.save_svg(str(PICTURE), title="vecparity", unique_id="vecparity")


if __name__ == "__main__":
    main()
