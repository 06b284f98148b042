"""Places of a command's output files, checked before anything is evaluated."""

from collections.abc import Mapping
from pathlib import Path

from vecparity.errors import UsageError
from vecparity.files import make_writable


def require_places(outputs: Mapping[str, Path | None], others: Mapping[str, Path | None]) -> None:
    """Checks that files can be written, and that none of them would replace another that the command uses.

    Args:
        outputs: Files to write, by their flags; None where there is none.
        others: Other files of the command, by their flags.

    Raises:
        UsageError: A path names no file in a directory that exists, or two flags name the same file.
        MachineError: A directory cannot be written.
    """
    flags: dict[Path, str] = {}
    for flag, path in {**others, **outputs}.items():
        if path is None:
            continue
        place = path.absolute().resolve()
        if place in flags:
            raise UsageError(f"{flag} must be another file than {flags[place]}, got {path} for both")
        flags[place] = flag
    for flag, path in outputs.items():
        if path is None:
            continue
        if path.is_dir() or not path.name:
            raise UsageError(f"{flag} must be a file, got the directory {path}")
        if not path.absolute().parent.is_dir():
            raise UsageError(f"{flag} must be a file in a directory that exists, got {path}")
        make_writable(path.absolute().parent, f"the directory of {flag}")
