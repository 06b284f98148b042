"""Measures the memory that only a sandbox's processes hold: private memory, and memory that they share.

The kernel names no owner of shared memory: memory mapped by several processes, files in memory that a process has open,
with or without a name, and System V segments. `exact` counts each of them once.
"""

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

_KIB = 1 << 10
# Columns of /proc/sysvipc/shm.
_SHMID, _CPID, _CUID, _RSS = 1, 4, 9, 14
# A file in memory: device and inode.
File = tuple[int, int]


class HiddenError(Exception):
    """A process does not let others see the memory that it holds."""


def resident(pid: int) -> tuple[int, int] | None:
    """Returns the bytes of a process's private memory and of its shared memory; None if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    values = {line.split()[0]: int(line.split()[1]) * _KIB for line in lines if line.startswith("Rss")}
    if not values:
        return None
    return values.get("RssAnon:", 0), values.get("RssShmem:", 0)


def open_files(pid: int, devices: frozenset[int]) -> dict[File, int]:
    """Returns the sizes, in bytes, of the files in memory on the given devices that a process has open.

    Raises:
        HiddenError: The process hides its open files.
    """
    found = {}
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode) and status.st_dev in devices:
                    found[status.st_dev, status.st_ino] = status.st_blocks * 512
    except (FileNotFoundError, ProcessLookupError):
        pass
    except PermissionError as error:
        if resident(pid) is not None:  # an ending process no longer belongs to the user, and is not hiding
            raise HiddenError from error
    return found


def exact(pids: Sequence[int], devices: frozenset[int]) -> int:
    """Returns the bytes that processes hold together, with shared memory counted once; excludes System V segments."""
    own, files = 0, defaultdict[File, int](int)
    for pid in pids:
        for is_own, file, num_bytes in _mappings(pid):
            if is_own:
                own += num_bytes
            elif file[0] in devices:
                files[file] += num_bytes
    held: dict[File, int] = {}
    for pid in pids:
        held |= open_files(pid, devices)
    return own + sum(max(files[file], held.get(file, 0)) for file in {*files, *held})


def _mappings(pid: int) -> Iterator[tuple[bool, File, int]]:
    """Yields for each mapping whether it is private, its file, and its proportional share of bytes in memory."""
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines()
    except OSError:
        return
    is_own, file, is_counted = False, (0, 0), False
    for line in lines:
        name, *values = line.split(maxsplit=5)
        if not name.endswith(":"):  # addresses, permissions, offset, device, inode, path
            permissions, _, device, inode, *path = values
            major, minor = (int(number, 16) for number in device.split(":"))
            is_own, file = permissions[3] == "p", (os.makedev(major, minor), int(inode))
            is_counted = not "".join(path).startswith("/SYSV")
        elif is_counted and name == ("Anonymous:" if is_own and file[1] else "Pss:"):
            yield is_own, file, int(values[0]) * _KIB


@cache
def memory_device() -> int | None:
    """Returns the device of shared memory outside any directory, one for the machine; None except on Linux."""
    if not hasattr(os, "memfd_create"):
        return None
    file = os.memfd_create("vecparity")
    try:
        return os.fstat(file).st_dev
    finally:
        os.close(file)


def segments() -> dict[int, tuple[int, int, int]]:
    """Returns System V's shared-memory segments by number: each creator's process and user, and bytes in memory."""
    try:
        lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    except OSError:
        return {}
    rows = [[int(value) for value in line.split()] for line in lines]
    return {row[_SHMID]: (row[_CPID], row[_CUID], row[_RSS]) for row in rows}
