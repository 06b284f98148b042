"""Files that are whole or not there, and directories that are known to take them."""

import errno
import os
import stat
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


def read_whole(path: Path, most_bytes: int) -> bytes:
    """Reads a regular file of a bounded length: nothing that never ends, or that is waited for.

    Raises:
        OSError: It cannot be read, is no regular file, or is longer.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        # As much as it has, and a little: room for all that it may have would not be had, and some tell no size.
        size = max(os.fstat(file.fileno()).st_size, 1 << 20)
        content = file.read(min(size, most_bytes) + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"Larger than {most_bytes >> 20} MiB")
    return content


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
