"""Helpers that start processes and wait for their actions."""

import subprocess
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import psutil

from vecparity.sandbox.processes import descendants

# As long as the slowest test may take: what never comes is found out by the time limit of each test, and by this only
# in threads and other processes, which do not have that.
_SECONDS = 900.0
_Item = TypeVar("_Item")


def await_some(find: Callable[[], _Item]) -> _Item:
    """Waits until a function returns something that is true, and returns that; fails if that does not come."""
    until = time.monotonic() + _SECONDS
    while not (found := find()):
        assert time.monotonic() < until, f"waited {_SECONDS:g} s in vain"
        time.sleep(0.01)
    return found


def await_that(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds; fails if it does not come to hold."""
    await_some(condition)


def await_each(items: Iterable[_Item], condition: Callable[[_Item], bool]) -> None:
    """Waits until a condition holds of each item."""
    for item in items:
        await_that(partial(condition, item))


def started_by(pid: int) -> list[int]:
    """Returns the processes below a process, parents first."""
    return [below for below, _ in descendants(pid)]


def named(process: psutil.Process) -> str:
    """Returns a process's name and arguments; nothing of one that has ended."""
    try:
        return " ".join([process.name(), *process.cmdline()])
    except psutil.NoSuchProcess:
        return ""


def is_alive(pid: int) -> bool:
    """Tells whether a process has not ended: one that has may still be there, as a zombie, where nobody asks for it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def await_end(pids: Iterable[int]) -> None:
    """Waits until processes have ended."""
    await_each(pids, lambda pid: not is_alive(pid))


def user_seconds(pid: int) -> float:
    """Returns the CPU time that a process has spent for itself; 0 of one that has ended."""
    try:
        return float(psutil.Process(pid).cpu_times().user)
    except psutil.NoSuchProcess:
        return 0.0


class Child(subprocess.Popen[Any]):
    """A process that is killed where its `with` block fails, as by the time limit for tests, and not waited for."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, traceback)


def has_sandbox(pid: int) -> bool:
    """Tells whether a process has started a fork server; before it, it starts others, which ask for the machine."""
    try:
        below = psutil.Process(pid).children(recursive=True)
        return any("vecparity.sandbox.server" in named(each) for each in below)
    except psutil.NoSuchProcess:
        return False
