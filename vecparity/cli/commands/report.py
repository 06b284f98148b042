"""``vecparity report``: writes evaluations as one HTML file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vecparity.cli.output import show


def report(
    *what: str,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("report.html"),
    history: Path | None = None,
) -> int:
    """Write a report on evaluations: one HTML file that opens anywhere.

    Args:
        what: Ids of vecparity history, latest for the newest, or JSON files; by default all evaluations that the
            newest command recorded or reused, such as both sides of vecparity compare.
        output: The file to write.
        history: The file in which evaluations are recorded; by default one in the user's data directory.
    """
    from vecparity.history.references import existing
    from vecparity.report import write_report

    evaluations, sources = existing(what, history)
    write_report(evaluations, output, sources)
    count = "1 evaluation" if len(evaluations) == 1 else f"{len(evaluations)} evaluations"
    show(f"{output}: {count}, {output.stat().st_size / 1e3:,.0f} kB")
    return 0
