"""What the command says on standard error, and the exit status that an error calls for."""

import sys
from typing import TYPE_CHECKING, TextIO

from vecparity.cli import standard_streams
from vecparity.errors import MachineError, VecparityError

if TYPE_CHECKING:
    from vecparity.evaluation.result import Evaluation

# The status that a shell gives a program that ended because nobody read on.
_SIGPIPE = 128 + 13


def fail(error: Exception) -> int:
    """Says what went wrong in a line or two and returns the exit status."""
    if isinstance(error, VecparityError):
        say("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]))
        return error.exit_status
    # By its name: torch may not have been loaded yet.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        say("error: out of memory; fewer runs at a time need less: --chunk-runs 1")
    elif isinstance(error, OSError):
        say(f"error: {error}")
    else:
        say(f"error: unexpected {type(error).__name__}: {error} (--debug shows where)")
    return MachineError.exit_status


def fail_to_print(error: OSError) -> int:
    """Returns the exit status of a command whose standard output takes no more, as behind ``| head``, and says why."""
    standard_streams.discard(sys.stdout)
    if isinstance(error, BrokenPipeError):  # who has read enough need not be told
        return _SIGPIPE
    return fail(MachineError(f"standard output takes no more: {error.strerror}"))


def flush(status: int) -> int:
    """Has everything that was printed leave this process; returns the command's exit status."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return status or fail_to_print(error)
    return status


def say(message: str) -> None:
    """Says something, as the command, if anybody can be told."""
    print(f"vecparity: {message}", file=standard_streams.Lossy(sys.stderr))


def warn(message: str) -> None:
    """Says a warning."""
    say(f"warning: {message}")


def warn_of_failed_audits(evaluation: "Evaluation") -> None:
    """Says which audits an evaluation failed, where that leaves it its score (else the score's absence says it)."""
    for finding in [] if evaluation.why_no_score else evaluation.failed_findings:
        warn(f"{evaluation.provenance.strategy} fails an audit: {finding.name}: {finding.summary}")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Says a warning, in the place of `warnings.showwarning`."""
    warn(str(message))
