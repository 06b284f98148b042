"""`vecparity play`: a session by a pipe, as scripts have it, and at a terminal, as people do."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from processes import Child
from published_run import Player, second_attempt
from sessions import needs_seal

from vecparity import Options
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.session import Session
from vecparity.agent.settings import SessionSettings

PLAY = [sys.executable, "-m", "vecparity", "play", "--smoke", "--no-history"]


def played(commands: Sequence[str], *flags: str) -> tuple[int, str, str]:
    """Has commands carried out by a pipe; returns the status, standard output and standard error."""
    text = "".join(f"{command}\n" for command in commands)
    done = subprocess.run([*PLAY, *flags], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_refusals_are_a_line_each_and_the_session_goes_on() -> None:
    commands = [
        *("chmod 1", "view 1", "edit", "undo", "replace x", "undo", ".", "insert 2 3", "test", "."),
        *("delete 1", "submit", "submit 1", "undo 99999999999", "", "help"),
    ]
    status, output, errors = played(commands)
    assert status == 0
    assert output.startswith("view             show the file")
    refusals = [line.removeprefix("vecparity: error: ") for line in errors.splitlines()]
    known = "view, edit, undo, test, submit, help, replace, insert, delete, quit"
    assert refusals[0] == f"expected one of {known}, got 'chmod'"
    assert refusals[1:5] == [
        "view takes 0 numbers, got 1",
        "edit needs an editor in $EDITOR, got none; replace, insert and delete take lines",
        "there is no edit to undo",
        "replace takes numbers, got 'x'",
    ]
    assert refusals[5] == "insert takes 1 number, got 2"
    assert refusals[6].startswith("only lines ") and refusals[6].endswith("may be edited, got delete of lines 1 to 1")
    assert refusals[7:] == [
        "submit takes 1 number, got 0",
        "there is no test to submit yet: test() makes one",
        "undo takes numbers, got '99999999999'",
    ]


@pytest.mark.slow
@needs_seal
def test_the_published_agents_moves_by_a_pipe(tmp_path: Path) -> None:
    commands: list[str] = []
    with Evaluators(Options()) as unused:
        session = Session(unused, SessionSettings(smoke=True))

        def note(verb: str, arguments: Mapping[str, Any]) -> str:
            if verb == "edit":
                content = str(arguments["content"]).removesuffix("\n")
                commands.append(f"replace {arguments['start_line']} {arguments['end_line']}\n{content}\n.")
            else:
                commands.append(" ".join([verb, *map(str, arguments.values())]))
            return "" if verb in ("test", "submit") else str(getattr(session, verb)(**arguments))

        second_attempt(Player(note))
    status, output, errors = played(commands, "--directory", str(tmp_path / "kept"))
    assert (status, errors) == (0, "")
    assert output.count("\n[n50-k8]\n") == 2 and "Test #2 (1 test remaining;" in output
    assert output.rstrip().rpartition("\n")[2].startswith("Score: 0.")
    assert (tmp_path / "kept" / "custom_strategy.py").read_text() == session.file.text
    assert len(list((tmp_path / "kept").glob("version_*.py"))) == 4


def _until(terminal: int, words: str) -> str:
    read = b""
    while words not in read.decode(errors="replace"):
        read += os.read(terminal, 65_536)
    return read.decode(errors="replace")


@pytest.mark.slow
def test_at_a_terminal_an_editor_opens_and_an_interrupt_stops_a_test(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\necho 'while True:' > \"$1\"\necho '    pass' >> \"$1\"\n")
    editor.chmod(0o755)
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "EDITOR": str(editor)}
    # A session of its own, whose terminal this is: Ctrl-C is the terminal's.
    code = f"import os, pty; os.login_tty({theirs}); os.execv({sys.executable!r}, {PLAY!r})"
    with Child([sys.executable, "-c", code], env=environment, pass_fds=[theirs]) as process:
        os.close(theirs)
        assert "may be edited; 3 tests remaining; help lists the commands" in _until(ours, "vecparity> ")
        os.write(ours, b"edit\n")
        assert "with 2 lines." in _until(ours, "vecparity> ")
        os.write(ours, b"test\n")
        _until(ours, "asking custom_strategy")
        os.write(ours, b"\x03")
        answer = _until(ours, "vecparity> ")
        assert "error: InterruptedTrainingError: stopped before its end, on request" in answer
        assert "2 tests remaining" in answer
        os.write(ours, b"quit\n")
        assert process.wait() == 0
    os.close(ours)
