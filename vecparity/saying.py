"""What the command says on standard error, and the exit status that an error calls for."""

import os
import sys
from typing import TYPE_CHECKING, TextIO

from vecparity.errors import MachineError, VecparityError

if TYPE_CHECKING:
    from vecparity.evaluation import Evaluation


def fail(error: Exception) -> int:
    """Says what went wrong in a line or two and returns the exit status."""
    if isinstance(error, VecparityError):
        say("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]))
        return error.exit_status
    if isinstance(error, BrokenPipeError):
        hush()
    # By its name: torch may not have been loaded yet.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        say("error: out of memory; fewer runs at a time need less: --chunk-runs 1")
    elif isinstance(error, OSError):
        say(f"error: {error}")
    else:
        say(f"error: unexpected {type(error).__name__}: {error} (--debug shows where)")
    return MachineError.exit_status


def hush() -> None:
    """Lets what is still to be printed go nowhere, the interpreter's own last flush too: nobody reads on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(message: str) -> None:
    """Says something, as the command."""
    print(f"vecparity: {message}", file=sys.stderr)


def warn_of_failed_audits(evaluation: "Evaluation") -> None:
    """Says which audits an evaluation failed, where that leaves it its score (else the score's absence says it)."""
    for finding in [] if evaluation.why_no_score else evaluation.failed_findings:
        say(f"warning: {evaluation.provenance.strategy} fails an audit: {finding.name}: {finding.summary}")


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Says a warning, in the place of `warnings.showwarning`."""
    say(f"warning: {message}")
