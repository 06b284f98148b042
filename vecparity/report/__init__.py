"""Reports on evaluations: one HTML file that opens anywhere, without a network."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.result import Evaluation, listed
from vecparity.files import to_path, write_whole
from vecparity.report.page import html

__all__ = ["html", "write_page", "write_report"]


def write_report(
    evaluations: Evaluation | Sequence[Evaluation], path: str | Path, sources: Collection[bytes] = ()
) -> None:
    """Writes the report on evaluations to one file.

    Args:
        evaluations: One, or several in any order; evaluations with the same N and K are drawn together.
            Other strategies are compared with that of the first.
        path: The file to write. If writing fails, the file keeps its earlier content.
        sources: Sources of the evaluations' strategies, to be shown; those of bundled strategies need not be given.

    Raises:
        UsageError: There are no evaluations, Matplotlib is not installed, or the path names no file.
        MachineError: The file cannot be written.
    """
    write_page(lambda: html(listed(evaluations), sources), path)


def write_page(make: Callable[[], str], path: str | Path) -> None:
    """Writes a page to one file.

    Args:
        make: Makes the page, once the path is known to be one.
        path: The file to write. If writing fails, the file keeps its earlier content.

    Raises:
        UsageError: The path names no file.
        MachineError: The file cannot be written.
    """
    path = to_path(path, "the report's path")
    if not path.name:
        raise UsageError(f"the report must be written to a file, got {str(path)!r}")
    text = make()
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise MachineError(f"the report could not be written to {path}: {error.strerror or error}") from error
