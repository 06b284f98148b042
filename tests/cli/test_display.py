import io
import os
import pty
import re
import struct
import sys
from fcntl import ioctl
from queue import SimpleQueue
from termios import TIOCSWINSZ
from threading import Semaphore

import pytest
from clock import Clock
from conftest import SHORT_FLAGS, RunEval
from equivalence import make_runs
from processes import Child

from vecparity import Evaluation, TaskConfig
from vecparity.cli.display import Display
from vecparity.task.config import task_config
from vecparity.training.progress import WindowClosed

COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)(?:;\d+)*m")
CONFIGS = [task_config("n32-k8"), task_config("n50-k8")]


def on_a_terminal(arguments: str, columns: int, **environment: str) -> bytes:
    """All that the command writes where standard output and standard error are one terminal."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "vecparity.eval", *arguments.split()]
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    env |= {"TERM": "xterm-256color", **environment}
    with Child(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
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


@pytest.mark.slow
@pytest.mark.parametrize("no_color", ["", "1"])
def test_metric_lines_and_display_on_one_terminal(run_eval: RunEval, no_color: str) -> None:
    _, quiet, _ = run_eval(f"{SHORT_FLAGS} --all-configs")
    written = on_a_terminal(f"{SHORT_FLAGS} --all-configs --log full", 80, NO_COLOR=no_color)
    pieces = re.split(rb"(?:\r\n|\r|\x1b\[[0-9;?]*[A-Za-z])+", written)
    assert [piece.decode() for piece in pieces if re.match(rb"[A-Z]+_[A-Z]+ ", piece)] == quiet
    for label in (b"n32-k8", b"n50-k8", b"n64-k8"):
        assert label in written
    assert b"40/40" in written and b"done" in written and b"waiting" in written
    assert (COLOUR.search(written) is None) == bool(no_color)


class Minutes:
    """An event that is waited for a minute at a time: each one that is let `pass_by` is over when its line is said."""

    def __init__(self) -> None:
        self._ends: SimpleQueue[bool] = SimpleQueue()
        self._is_waited_for = Semaphore(0)

    def wait(self, seconds: float) -> bool:
        assert seconds == 60
        self._is_waited_for.release()
        return self._ends.get()

    def set(self) -> None:
        self._ends.put(True)

    def pass_by(self) -> None:
        self._is_waited_for.acquire()
        self._ends.put(False)
        self._is_waited_for.acquire()
        self._is_waited_for.release()


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> Minutes:
    minutes = Minutes()
    monkeypatch.setattr("vecparity.cli.each_minute.Event", lambda: minutes)
    return minutes


def test_a_line_a_minute(minutes: Minutes, capsys: pytest.CaptureFixture[str], evaluation: Evaluation) -> None:
    def line() -> str:
        minutes.pass_by()
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    clock = Clock()
    runs = make_runs()[:2]
    with Display(None, CONFIGS, clock=clock) as display:
        assert line() == ""
        for config in CONFIGS:
            label = config.label
            display.begin(config)
            assert line() == f"vecparity: {label}: asking the strategy for networks and data\n"
            display.prepared(runs, "native")
            assert line() == f"vecparity: {label}: step 0 of 100,000, 2 of 2 runs live\n"
            clock.now += 10
            display.window(WindowClosed(250, [0, 1], [0.5, 0.5], [0.5, 0.75], [1]))
            # One run, which may stop at step 1,750, at 500 run-steps in 10 s.
            told = f"vecparity: {label}: step 250 of 100,000, 1 of 2 runs live, accuracy 0.625"
            assert line() == f"{told}, stops at the earliest in 0:30\n"
            clock.now += 5
            assert line() == f"{told}, stops at the earliest in 0:25\n"
            display.finish([evaluation])
            assert line() == ""
    assert capsys.readouterr() == ("", "")


def test_no_lines_where_nothing_is_to_be_shown(minutes: Minutes, capsys: pytest.CaptureFixture[str]) -> None:
    with Display(False, CONFIGS) as display:
        display.begin(CONFIGS[0])
        display.prepared(make_runs()[:2], "native")
    assert not minutes._is_waited_for.acquire(blocking=False), "nobody waits for minutes to pass"
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
