"""A lock held by the kernel for a process, and released when the process ends for whatever reason."""

import errno
import fcntl
import os
import warnings
from contextlib import suppress
from pathlib import Path

from vecparity.errors import UsageError, visible

# An attempt fails when another process removes the file or its directory between two system calls.
_MOST_ATTEMPTS = 100


class Lock:
    """An exclusive lock on a file that is created for the lock, contains the holder's process id, and is removed after.

    The descriptor is closed in programs that this process starts (PEP 446), so they do not keep the lock. Forked
    children that outlive this process hold the lock until `release` or their own end.

    Args:
        path: The file. Its directory is created if missing, but the directory's parent is not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def is_held(self) -> bool:
        """Tells whether the lock is acquired and its file still exists; without it others could lock a new file."""
        return self._descriptor is not None and self._is_named(self._descriptor)

    def acquire(self) -> None:
        """Acquires the lock unless it is already held. If the file system cannot lock, warns and goes on.

        Raises:
            UsageError: Another process holds the lock.
            OSError: The file cannot be created.
        """
        if self.is_held():
            return
        self.release()
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            try:
                self._descriptor = self._open_locked()
                return
            except (FileNotFoundError, FileExistsError):
                if attempt == _MOST_ATTEMPTS:
                    raise

    def release(self) -> None:
        """Removes the file, then unlocks it; a process that opened the file meanwhile sees that its name is gone."""
        if self._descriptor is None:
            return
        if self.is_held():
            with suppress(OSError):
                self.path.unlink()
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = None

    def _open_locked(self) -> int:
        """Creates and locks the file.

        Raises:
            FileNotFoundError: The file was removed meanwhile.
        """
        self.path.parent.mkdir(exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._lock(descriptor)
            if not self._is_named(descriptor):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
            os.ftruncate(descriptor, 0)
            with suppress(OSError):  # a full disk must not prevent locking
                os.write(descriptor, f"{os.getpid()}\n".encode())
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            holder = f", pid {pid}" if pid.isdecimal() else ""
            message = f"{self.path} is in use by another evaluation{holder}: wait until it ends, or stop it"
            raise UsageError(message) from error
        except OSError as error:
            message = f"{self.path} cannot be locked, so do not run the same evaluation twice at the same time: {error}"
            warnings.warn(visible(message), stacklevel=4)

    def _is_named(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except OSError:
            return False
