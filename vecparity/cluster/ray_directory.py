"""The directory of an own Ray instance, and a process that ends the instance and removes it once this one has ended."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

# Ray has sockets below its directory, whose paths the kernel limits to 107 bytes.
_LONGEST_PLACE = 20
_PREFIX = "vecparity-ray-"
# Processes that are killed are gone within a moment, unless the kernel holds them.
_END_SECONDS = 20.0


@contextmanager
def ray_directory() -> Iterator[str]:
    """Makes a directory for Ray. In the end its processes are killed and it is removed, even if this process is killed.

    Directories of earlier processes that were killed together with their watcher, as by a batch system, go first.
    """
    place = tempfile.gettempdir()
    place = place if len(place) <= _LONGEST_PLACE else "/tmp"
    _remove_leftovers(Path(place))
    directory = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    code = f"import sys; sys.path[:] = {sys.path}; from vecparity.cluster.ray_directory import watch; watch()"
    watcher = subprocess.Popen(
        [sys.executable, "-c", code, directory, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[lock],  # the lock holds as long as one of the two processes lives
        start_new_session=True,  # an interrupt from the keyboard goes to the driver only
    )
    try:
        yield directory
    finally:
        with watcher:
            pass  # closes its pipe, and waits
        os.close(lock)


def watch() -> None:
    """Waits until the process that made a directory ends, or closes its pipe, and removes the directory."""
    sys.stdin.buffer.read()
    _remove(Path(sys.argv[1]), besides={os.getpid(), int(sys.argv[2])})


def _remove_leftovers(place: Path) -> None:
    """Removes directories of this user's that no process has locked."""
    for path in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.lstat().st_uid != os.getuid() or not any(path.iterdir()):  # an empty one is being made
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path, besides={os.getpid()})
            finally:
                os.close(lock)


def _remove(directory: Path, besides: Collection[int]) -> None:
    """Kills the processes that use a directory, also those that they start meanwhile, and removes it."""
    until = time.monotonic() + _END_SECONDS
    while (users := [pid for pid in _users(directory) if pid not in besides]) and time.monotonic() < until:
        for pid in users:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(directory, ignore_errors=True)


def _users(directory: Path) -> Iterator[int]:
    """Yields Ray's processes whose command names a directory, or that have a file in it open, as workers a log."""
    within = f"{directory}{os.sep}"
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if not _may_be_rays(process):  # a person may look at Ray's logs
                continue
            is_named = any(within in f"{word}{os.sep}" for word in process.cmdline())
            if is_named or any(path.startswith(within) for path in _open_files(process.pid)):
                yield process.pid


def _may_be_rays(process: psutil.Process) -> bool:
    """Returns True for this user's processes of Python and of Ray's own programs."""
    name = Path(process.exe()).name
    return process.uids().real == os.getuid() and name.startswith(("python", "raylet", "gcs_server"))


def _open_files(pid: int) -> Iterator[str]:
    """Yields the paths of all that a process has open, including sockets and files that were removed."""
    place = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(place):
            with suppress(OSError):
                yield os.readlink(os.path.join(place, name))
