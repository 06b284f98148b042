import io
import os
import pty
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest
from equivalence import make_runs
from test_eval import SHORT, Run, run  # noqa: F401

from vecparity import Evaluation, TaskConfig
from vecparity.display import Display
from vecparity.progress import WindowClosed
from vecparity.spec import task_config

COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)(?:;\d+)*m")
CONFIGS = [task_config("n32-k8"), task_config("n50-k8")]


def on_a_terminal(arguments: str, columns: int, **environment: str) -> bytes:
    """All that the command writes where standard output and standard error are one terminal."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "vecparity.eval", *arguments.split()]
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    env |= {"TERM": "xterm-256color", **environment}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65_536):
                written += piece
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0, written
    return written


@pytest.mark.parametrize("no_color", [pytest.param("", marks=pytest.mark.slow), "1"])
def test_metric_lines_and_display_on_one_terminal(run: Run, no_color: str) -> None:  # noqa: F811
    _, quiet, _ = run(f"{SHORT} --all-configs")
    written = on_a_terminal(f"{SHORT} --all-configs", 80, NO_COLOR=no_color)
    pieces = re.split(rb"(?:\r\n|\r|\x1b\[[0-9;?]*[A-Za-z])+", written)
    assert [piece.decode() for piece in pieces if re.match(rb"[A-Z]+_[A-Z]+ ", piece)] == quiet
    for label in (b"n32-k8", b"n50-k8", b"n64-k8"):
        assert label in written
    assert b"40/40" in written and b"done" in written and b"waiting" in written
    assert (COLOUR.search(written) is None) == bool(no_color)


class Clock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def followed(display: Display, clock: Clock, windows: Sequence[tuple[float, int]], evaluation: Evaluation) -> None:
    """Tells of two configurations whose windows close some seconds after their beginning."""
    runs = make_runs()[:2]
    for config in CONFIGS:
        began = clock.now
        display.begin(config)
        display.prepared(runs, "native")
        for seconds, step in windows:
            clock.now = began + seconds
            display.window(WindowClosed(step, [0, 1], [0.5, 0.5], [0.5, 0.75], [1]))
        display.finish([evaluation])


def test_a_line_a_minute(capsys: pytest.CaptureFixture[str], evaluation: Evaluation) -> None:
    clock = Clock()
    with Display(None, CONFIGS, clock) as display:
        followed(display, clock, [(10, 250), (59, 500), (61, 750), (90, 1000), (122, 1250), (130, 1500)], evaluation)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    # 99,250 steps of one run at 1,000 run-steps in 51 s; 98,750 at 500 in 32 s.
    assert lines[:2] == [
        "vecparity: n32-k8: step 750 of 100,000, 1 of 2 runs live, accuracy 0.625, at most 1:24:22 left",
        "vecparity: n32-k8: step 1,250 of 100,000, 1 of 2 runs live, accuracy 0.625, at most 1:45:20 left",
    ]
    # From 130 on the second configuration; the last line was at 122.
    assert [line.partition(",")[0] for line in lines[2:]] == [
        "vecparity: n50-k8: step 500 of 100", "vecparity: n50-k8: step 1",
    ]  # fmt: skip


@pytest.mark.parametrize("enabled", [None, False])
def test_nothing_of_what_takes_less_than_a_minute(
    capsys: pytest.CaptureFixture[str], evaluation: Evaluation, enabled: bool | None
) -> None:
    clock = Clock()
    seconds = 29 if enabled is None else 1000
    with Display(enabled, CONFIGS, clock) as display:
        followed(display, clock, [(seconds / 2, 250), (seconds, 500)], evaluation)
    assert capsys.readouterr() == ("", "")


def test_a_dumb_terminal_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert Display(None, CONFIGS).is_live
    monkeypatch.setenv("TERM", "dumb")
    assert not Display(None, CONFIGS).is_live
    assert Display(True, CONFIGS).is_live


def test_colour_that_is_forced_makes_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not Display(None, CONFIGS).is_live


def test_with_standard_error_elsewhere_metric_lines_stay_on_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Display(True, [TaskConfig()]) as display:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        display.write(["TEST_METRICS x"])
    captured = capsys.readouterr()
    assert captured.out == "TEST_METRICS x\n"
    assert "TEST_METRICS" not in captured.err
