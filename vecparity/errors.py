"""Errors that a user can fix, each with the exit status of the command.

A message is one printable line, whatever names and words it repeats, and says what was expected, what was got, and
where. Only notes have several lines.
"""

import re
from functools import partial
from typing import Any

_MOST_CHARACTERS = 200
# What stands before each line of a strategy's output, and the most characters that follow it in one line of a terminal.
_QUOTED, _FOLDED = "  | ", 76


class VecparityError(Exception):
    """The base of all errors raised on purpose. Never raised itself."""

    exit_status: int

    def __str__(self) -> str:
        return visible(super().__str__())


class UsageError(VecparityError, ValueError):
    """A flag, setting or argument is invalid (wrong use of the command or of the API)."""

    exit_status = 2


class InvalidStrategyError(VecparityError):
    """The strategy's file does not load, or one of its functions returned something that the contract refuses."""

    exit_status = 3


class StrategyFailedError(VecparityError):
    """A function of the strategy raised an exception, hit a limit, or ended its process."""

    exit_status = 4


class DivergedError(VecparityError):
    """A run's loss became infinite or NaN: the evaluation has no score."""

    exit_status = 4


class AuditFailedError(VecparityError):
    """A strict audit found signs that no honest strategy shows: the evaluation has no score."""

    exit_status = 5


class InterruptedTrainingError(VecparityError):
    """Training stopped before its end, on request.

    Args:
        message: The step of the interruption, and how to resume.
        resumable: True if training can resume (exit status 75); if not, the exit status is 130, as for any interrupted
            command.
    """

    def __init__(self, message: str, *, resumable: bool) -> None:
        super().__init__(message)
        self.exit_status = 75 if resumable else 130

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), resumable=self.exit_status == 75), self.args


class MachineError(VecparityError):
    """The machine could not do the work: for example, memory ran out or a file cannot be written."""

    exit_status = 6


def brief(value: object) -> str:
    """Returns a value's ``repr`` as one printable line of at most 200 characters."""
    try:
        return printable(repr(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits, or deeply nested lists
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def in_number(count: int, noun: str) -> str:
    """Returns "1 trial", or "1,200 trials"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def visible(text: str) -> str:
    """Returns the text as one line, in which everything that cannot be printed is an escape.

    That is control characters, all kinds of line breaks, marks that reverse the direction of writing, and halves of
    characters that no encoding has.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def visible_cell(text: str) -> str:
    """Returns the text as one `visible` line without runs of blanks, which part cells where there are no lines."""
    return re.sub(" {2,}", " ", visible(text))


def printable(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Returns the text as one `visible` line of at most so many characters before any is escaped."""
    return visible(text if len(text) <= most else f"{text[: most - 3]}...")


def quoted(text: str) -> str:
    """Returns a strategy's output with a mark before each line, so that none can pass for a line of the evaluator's.

    Of a long line, the beginning is shown, in parts that a terminal does not break.
    """
    lines = [printable(line) for line in text.split("\n")]
    parts = [line[start : start + _FOLDED] for line in lines for start in range(0, max(1, len(line)), _FOLDED)]
    return "\n".join(f"{_QUOTED}{part}" for part in parts)


def describe(error: BaseException) -> str:
    """Returns the exception's name and the first line of its message, of at most 200 characters, as `visible`."""
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error).strip().partition("\n")[0]
        return visible(f"{type(error).__name__}: {message[:_MOST_CHARACTERS]}" if message else type(error).__name__)
    except BaseException:  # raised by the exception itself, if its class is a strategy's
        return "an exception whose message cannot be read"
