"""A lock that the kernel holds for a process, and lets go of when the process ends, however it does."""

import errno
import fcntl
import os
import warnings
from contextlib import suppress
from pathlib import Path

from vecparity.errors import UsageError

# Each time somebody else has removed the file or its directory between two system calls.
_MOST_ATTEMPTS = 100


class Lock:
    """An exclusive lock: a file that is made for it, names the holder, and is removed with it.

    The descriptor is closed in programs that this process starts (PEP 446), so that none of them holds the lock on.
    Forked children that run on hold it until `release` or their own end.

    Args:
        path: The file. Its directory is made where it is missing, but not that one's parent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def is_held(self) -> bool:
        """Tells if it is acquired and the file is still there: without it somebody else may acquire another."""
        return self._descriptor is not None and self._is_named(self._descriptor)

    def acquire(self) -> None:
        """Takes the lock, unless it is held already. Warns where the file system cannot lock, and goes on without.

        Raises:
            UsageError: Somebody else holds it.
            OSError: The file cannot be made.
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
        """Removes the file and lets go, in this order: who has opened it meanwhile sees that it has no name."""
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
        """Makes and locks the file.

        Raises:
            FileNotFoundError: It was removed meanwhile.
        """
        self.path.parent.mkdir(exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._lock(descriptor)
            if not self._is_named(descriptor):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
            os.ftruncate(descriptor, 0)
            with suppress(OSError):  # a full disk is no reason not to hold it
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
            said = f"{self.path} is in use by another evaluation{holder}: wait for its end, or stop it"
            raise UsageError(said) from error
        except OSError as error:
            said = f"{self.path} cannot be locked, so that nobody sees the same evaluation made twice at once: {error}"
            warnings.warn(said, stacklevel=4)

    def _is_named(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except OSError:
            return False
