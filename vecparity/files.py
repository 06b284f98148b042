"""Files that are whole or not there, and directories that are known to take them."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from vecparity.errors import MachineError, UsageError


def to_path(given: object, name: str) -> Path:
    """Takes a path, or its text, from a caller.

    Raises:
        UsageError: It is neither, or no path that a system could have; ``name`` is the argument's.
    """
    if not isinstance(given, str | Path) or not str(given) or "\0" in str(given):
        raise UsageError(f"{name} must be a path, got {given!r}")
    return Path(given)


def write_whole(path: Path, data: bytes) -> None:
    """Writes so that ``path`` holds either all of it or what it held before, after a loss of power, too.

    A process that is killed meanwhile may leave a file ``NAME.PID.tmp`` behind.

    Raises:
        OSError: It cannot be written. No temporary file is left, if the system lets it be removed.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # or the new name may not outlive a loss of power
    finally:
        os.close(directory)


def make_writable(directory: Path, name: str) -> None:
    """Makes a directory if it is not there, and tries to write to it.

    Raises:
        MachineError: It cannot be made or written; ``name`` is what asked for it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise MachineError(f"{name} must be a directory that can be written, got {error}") from error
