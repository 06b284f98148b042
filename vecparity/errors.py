"""Every error that is a user's to mend, each with the exit status that the command ends with.

Messages are one or two lines: what was expected, what was got, where.
"""

from pathlib import Path

_MOST_CHARACTERS = 200


class VecparityError(Exception):
    """Base of all errors raised on purpose. Never raised itself."""

    exit_status: int


class UsageError(VecparityError, ValueError):
    """A flag, setting or argument that cannot be (wrong use of the command or of the API)."""

    exit_status = 2


class CheckpointExistsError(UsageError):
    """A checkpoint of the very same evaluation is there, and nobody said to go on from it.

    Args:
        directory: Where.
        name: What the checkpoint's files begin with.
        resume: How to say it: an argument of ``evaluate``, or a flag of the command.
    """

    def __init__(self, directory: Path, name: str, resume: str = "resume=True") -> None:
        super().__init__(
            f"{directory} holds a checkpoint of this evaluation, {name}: {resume} goes on from it; to begin anew, "
            "remove its files"
        )
        self.directory, self.name = directory, name


class InvalidStrategyError(VecparityError):
    """The strategy's file does not load, or a function of it returned what the contract refuses."""

    exit_status = 3


class StrategyFailedError(VecparityError):
    """A function of the strategy raised an exception, hit a limit, or ended its process."""

    exit_status = 4


class DivergedError(VecparityError):
    """A run's loss ceased to be finite: the evaluation has no score."""

    exit_status = 4


class AuditFailedError(VecparityError):
    """A strict audit found what an honest strategy does not show: the evaluation has no score."""

    exit_status = 5


class InterruptedTrainingError(VecparityError):
    """Training was asked to stop before its end.

    Args:
        message: Where, and how to go on.
        resumable: Whether it can: else the exit status is 130, that of a command that was interrupted.
    """

    def __init__(self, message: str, *, resumable: bool) -> None:
        super().__init__(message)
        self.exit_status = 75 if resumable else 130


class MachineError(VecparityError):
    """The machine could not do it: out of memory, a file that cannot be written."""

    exit_status = 6


def brief(value: object) -> str:
    """The value as Python writes it, in one printable line of at most 200 characters."""
    try:
        return printable(repr(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists in lists in lists
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def printable(text: str) -> str:
    """One line of at most 200 characters, in which what a terminal would obey is escaped."""
    line = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def describe(error: BaseException) -> str:
    """The exception's name and the first line of its message, at most 200 characters."""
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {message[:200]}" if message else type(error).__name__
    except BaseException:  # raised by a strategy's own exception, of itself
        return "an exception that cannot be told"
