"""Finds the descendants of a process without scanning all processes of the machine, which may be very many."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil


def descendants(pid: int) -> Iterator[tuple[int, int]]:
    """Yields every descendant that has not left the process tree, parents first, with its number of threads."""
    waiting, seen = [pid], {pid}
    while waiting:
        for child in _children(waiting.pop(0)):
            if child not in seen:
                seen.add(child)
                waiting.append(child)
                yield child, len(_threads(child))


def _children(pid: int) -> list[int]:
    try:
        threads = _threads(pid)
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # an old kernel, another system, or a process that has just ended
        pass
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def _threads(pid: int) -> list[Path]:
    try:
        return [Path(f"/proc/{pid}/task/{name}") for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []
