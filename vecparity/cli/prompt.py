"""The prompt of ``vecparity play``: reads a person's commands, and has a session carry them out."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import get_args

from vecparity.agent.edits import Operation
from vecparity.agent.scaffold import FILE
from vecparity.agent.session import Session
from vecparity.cli.display import Display
from vecparity.cli.messages import say
from vecparity.cli.output import show
from vecparity.errors import MachineError, UsageError, VecparityError, brief, in_number
from vecparity.evaluation.callbacks import Follower
from vecparity.task.config import CONFIGURATIONS

_HELP = """\
view             show the file with the numbers of its lines
edit             change the block in $EDITOR
replace A [B]    replace lines A to B by the lines that follow, up to one that is only a dot
insert A         insert the lines that follow below line A, up to one that is only a dot
delete A [B]     delete lines A to B
undo [N]         take back the last edit, or the last N
test             evaluate the file; Ctrl-C stops a test, which counts
submit N         score the file of test N on secrets of its own, and end the session; Ctrl-C ends it without a score
help             show this
quit             end without a submission"""
_PROMPT = "vecparity> "
_END = "."
_OPERATIONS: dict[str, Operation] = {op: op for op in get_args(Operation)}


class Prompt:
    """Reads commands until the session ends.

    Args:
        session: The session.
        progress: See `Display`.
    """

    def __init__(self, session: Session, progress: bool | None) -> None:
        self._session = session
        self._progress = progress
        self._verbs: dict[str, Callable[[Sequence[int]], str]] = {
            "view": self._view,
            "edit": self._edit,
            "undo": self._undo,
            "test": self._test,
            "submit": self._submit,
            "help": self._help,
        }

    def run(self) -> int:
        """Carries out commands, reports errors in a line each, and returns the exit status."""
        if sys.stdin.isatty():
            _show(f"{self._session.view().partition(chr(10))[0]}; help lists the commands")
        while (line := _read(_PROMPT)) is not None:
            words = line.split()
            if words == ["quit"]:
                break
            if not words:
                continue
            try:
                _show(self._carry_out(words))
            except VecparityError as error:
                say(f"error: {error}")
            if self._session.submission is not None:
                errors = self._session.submission.errors.values()
                return next((error.exit_status for error in errors), 0)
        return 0

    def _carry_out(self, words: Sequence[str]) -> str:
        verb, *arguments = words
        # Read before anything is refused: lines that belong to a refused command are no commands.
        content = "".join(_content()) if verb in ("replace", "insert") else None
        for word in arguments:
            if not (word.isdecimal() and word.isascii() and len(word) < 10):
                raise UsageError(f"{verb} takes numbers, got {brief(word)}")
        numbers = [int(word) for word in arguments]
        if verb in _OPERATIONS:
            _require(verb, numbers, 1, 1 if verb == "insert" else 2)
            return self._session.edit(_OPERATIONS[verb], numbers[0], numbers[-1], content)
        if verb not in self._verbs:
            known = [*self._verbs, *_OPERATIONS, "quit"]
            raise UsageError(f"expected one of {', '.join(known)}, got {brief(verb)}")
        return self._verbs[verb](numbers)

    def _view(self, numbers: Sequence[int]) -> str:
        _require("view", numbers, 0, 0)
        return self._session.view()

    def _help(self, numbers: Sequence[int]) -> str:
        _require("help", numbers, 0, 0)
        return _HELP

    def _edit(self, numbers: Sequence[int]) -> str:
        _require("edit", numbers, 0, 0)
        file = self._session.file
        before = "".join(f"{line}\n" for line in file.block)
        after = _edited(before)
        if after == before:
            return "nothing was changed"
        if not after:
            return self._session.edit("delete", file.first, file.last)
        if not file.block:
            return self._session.edit("insert", file.first - 1, content=after)
        return self._session.edit("replace", file.first, file.last, after)

    def _undo(self, numbers: Sequence[int]) -> str:
        _require("undo", numbers, 0, 1)
        return self._session.undo(*numbers)

    def _test(self, numbers: Sequence[int]) -> str:
        _require("test", numbers, 0, 0)
        title = f"{FILE}, test {len(self._session.tests) + 1}"
        return self._evaluate(self._session.settings.shown, title, self._session.test)

    def _submit(self, numbers: Sequence[int]) -> str:
        _require("submit", numbers, 1, 1)
        return self._evaluate(
            list(CONFIGURATIONS),
            f"{FILE}, submission of test {numbers[0]}",
            lambda followers, stopped: self._session.submit(numbers[0], followers, stopped),
        )

    def _evaluate(
        self, labels: Sequence[str], title: str, verb: Callable[[Sequence[Follower], threading.Event], str]
    ) -> str:
        configs = [self._session.settings.config(label) for label in labels]
        with Display(self._progress, configs, title) as display, _stopped_by_interrupts() as stopped:
            return verb([display], stopped)


def _read(prompt: str) -> str | None:
    """Reads a line; None at the end of the input."""
    try:
        return input(prompt if sys.stdin.isatty() else "")
    except EOFError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input must be text in {sys.stdin.encoding}, got {error.reason}") from error


def _content() -> Iterator[str]:
    """Reads lines up to one that is only a dot, or to the end of the input."""
    while (line := _read("| ")) is not None and line != _END:
        yield f"{line}\n"


def _require(verb: str, numbers: Sequence[int], least: int, most: int) -> None:
    if not least <= len(numbers) <= most:
        expected = in_number(most, "number") if least == most else f"{least} or {in_number(most, 'number')}"
        raise UsageError(f"{verb} takes {expected}, got {len(numbers)}")


def _edited(text: str) -> str:
    """Has a person change a text in an editor.

    Raises:
        UsageError: No editor is named.
        MachineError: The editor cannot be started, or failed.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UsageError("edit needs an editor in $EDITOR, got none; replace, insert and delete take lines")
    with tempfile.TemporaryDirectory(prefix="vecparity-") as directory:
        path = Path(directory) / FILE
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise MachineError(f"the editor {brief(editor)} changed nothing: {error}") from error


def _show(text: str) -> None:
    show(*(line.expandtabs(4) for line in text.split("\n")))


@contextmanager
def _stopped_by_interrupts() -> Iterator[threading.Event]:
    """Yields an event that the first interrupt sets, in place of its effect; a second interrupt has its effect."""
    stopped = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
