"""Files written completely or not at all, and directories tested for writing."""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from vecparity.errors import MachineError, UsageError


def to_path(value: object, name: str) -> Path:
    """Converts a caller's path or text to a path.

    Raises:
        UsageError: The argument is neither, or cannot be a path on any system; the message contains ``name``.
    """
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise UsageError(f"{name} must be a path, got {value!r}")
    return Path(value)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that ``path`` holds either all of ``data`` or its previous content, even after a power failure.

    A process killed during the write may leave a file ``NAME.PID.tmp`` behind.

    Raises:
        OSError: The file cannot be written. No temporary file remains, if the system allows its removal.
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
        os.fsync(directory)  # otherwise a power failure may undo the renaming
    finally:
        os.close(directory)


def read_whole(path: Path, most_bytes: int) -> bytes:
    """Reads a regular file of limited length, never a pipe or device that blocks or has no end.

    Raises:
        OSError: The file cannot be read, is not a regular file, or is longer than ``most_bytes``.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        # Ask for the file's size (some files report none) plus a little: a buffer of the limit would not fit memory.
        size = max(os.fstat(file.fileno()).st_size, 1 << 20)
        content = file.read(min(size, most_bytes) + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"Larger than {most_bytes >> 20} MiB")
    return content


def make_writable(directory: Path, name: str) -> None:
    """Creates a directory if it is missing, and tries to write to it.

    Raises:
        MachineError: The directory cannot be created or written; the message begins with ``name``, the option's name.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise MachineError(f"{name} must be a directory that can be written, got {error}") from error
