"""The command's messages on standard error, and the exit statuses of errors."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from vecparity.cli import json_lines, standard_streams
from vecparity.errors import MachineError, VecparityError, visible

if TYPE_CHECKING:
    from vecparity.evaluation.result import Evaluation

# The status that a shell gives a program that ended because its reader closed the pipe.
_SIGPIPE = 128 + 13


def fail(error: Exception) -> int:
    """Reports an error in a line, with its notes below, and as JSON if that is asked for; returns its exit status."""
    if isinstance(error, VecparityError):
        words, status = str(error), error.exit_status
    else:
        words, status = _in_words(error), MachineError.exit_status
    notes = getattr(error, "__notes__", [])
    say(f"error: {words}", notes)
    if json_lines.is_on():
        json_lines.write_error(json_lines.kind_of(error), visible(words), status, notes)
    return status


def interrupted(words: str, status: int) -> int:
    """Reports that a command was interrupted, and returns the exit status."""
    say(words)
    if json_lines.is_on():
        json_lines.write_error("interrupted", visible(words), status)
    return status


def _in_words(error: Exception) -> str:
    # torch's error is compared by name, because torch may not be loaded.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory: train fewer runs at a time (--chunk-runs 1)"
    if isinstance(error, OSError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)"


def fail_to_print(error: OSError) -> int:
    """Returns the exit status for a failed standard output, and reports the error unless a pipe closed (``| head``)."""
    standard_streams.discard(sys.stdout)
    if isinstance(error, BrokenPipeError):  # a reader who has read enough needs no message
        return _SIGPIPE
    return fail(MachineError(f"standard output cannot be written: {error.strerror}"))


def flush(status: int) -> int:
    """Flushes standard output; returns the command's exit status."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return status or fail_to_print(error)
    return status


def say(message: str, notes: Iterable[str] = ()) -> None:
    """Prints a message to standard error, and ignores a closed stream.

    Args:
        message: Printed as one line, with escapes for what cannot be printed.
        notes: Printed below it, each of one or more lines, which are indented and likewise escaped.
    """
    lines = [f"vecparity: {visible(message)}"]
    lines += [f"  {visible(line)}" for note in notes for line in note.split("\n")]
    print("\n".join(lines), file=standard_streams.Lossy(sys.stderr))


@contextmanager
def passing(words: str) -> Iterator[None]:
    """Shows words on a terminal for as long as something takes, and leaves no trace of them."""
    stream = standard_streams.Lossy(sys.stderr)
    is_shown = stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
    if is_shown:
        stream.write(f"{words}\r")
        stream.flush()
    try:
        yield
    finally:
        if is_shown:
            stream.write(f"{' ' * len(words)}\r")
            stream.flush()


def warn(message: str) -> None:
    """Prints a warning to standard error."""
    say(f"warning: {message}")


def warn_of_failed_audits(evaluation: "Evaluation") -> None:
    """Warns of an evaluation's failed audits if it keeps its score; otherwise the missing score's error names them."""
    for finding in [] if evaluation.why_no_score else evaluation.failed_findings:
        warn(f"{evaluation.provenance.strategy} fails an audit: {evaluation.described(finding)}")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Prints a warning, in place of `warnings.showwarning`."""
    warn(str(message))
