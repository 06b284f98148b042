"""What a worker may use, and how each limit is named when it is reached."""

import os
import resource
import time
from dataclasses import dataclass, fields

from vecparity.containment.processes import descendants, own_memory, shared_memory
from vecparity.errors import UsageError

_GIB = 1 << 30
_MIB = 1 << 20
# Between two looks at what a worker uses.
TICK_SECONDS = 0.02


def num_cpus() -> int:
    """How many CPUs the machine has."""
    return os.cpu_count() or 1


def _three_quarters_of_memory() -> float:
    return round(0.75 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB, 2)


@dataclass(frozen=True)
class Limits:
    """Limits of each worker, that is of one call's worth of a strategy's work.

    Attributes:
        strategy_seconds: Wall time, in seconds.
        strategy_cpu_seconds: CPU time of each process, in seconds.
        strategy_memory: Address space of each process and memory of all together, in GiB. By default three quarters
            of the machine's.
        strategy_processes: Processes at a time, and with 8 more for each CPU: processes and threads.
        strategy_file_size: Size of each file, in MiB; under bwrap and landlock of all files together.

    Raises:
        UsageError: A limit that is not above 0.
    """

    strategy_seconds: float = 600.0
    strategy_cpu_seconds: int = 3600
    strategy_memory: float = _three_quarters_of_memory()
    strategy_processes: int = 64
    strategy_file_size: int = 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise UsageError(f"{field.name} must be above 0, got {value}")

    @property
    def memory_bytes(self) -> int:
        return int(self.strategy_memory * _GIB)

    @property
    def file_bytes(self) -> int:
        return self.strategy_file_size * _MIB

    @property
    def threads(self) -> int:
        """How many threads all processes may have together; libraries start some for each CPU by themselves."""
        return self.strategy_processes + 8 * num_cpus()

    def flag(self, name: str) -> str:
        """The flag that sets a limit, with its value, for errors."""
        return f"--{name.replace('_', '-')} {getattr(self, name)}"

    def apply(self, *, counts_processes: bool, bounds_memory: bool) -> None:
        """Sets the resource limits of this process and its children to come.

        Args:
            counts_processes: Whether the kernel may count processes: it counts a user's, so only where the user is
                one in a namespace of its own. Elsewhere, and for root, the evaluator counts.
            bounds_memory: Whether address space is bounded. CUDA maps far more of it than there is memory.
        """
        _limit(resource.RLIMIT_CORE, 0)
        # The first is told as a signal, which a strategy may ignore; the second is not.
        resource.setrlimit(resource.RLIMIT_CPU, (self.strategy_cpu_seconds, self.strategy_cpu_seconds + 2))
        _limit(resource.RLIMIT_FSIZE, self.file_bytes)
        if bounds_memory:
            _limit(resource.RLIMIT_AS, self.memory_bytes)
        if counts_processes:
            _limit(resource.RLIMIT_NPROC, self.threads)


class LimitReachedError(Exception):
    """The text is the limit's flag, with its value."""


class Usage:
    """What one worker and its children use: the limits that the evaluator watches from outside.

    Args:
        root: The sandbox's first process, before the worker is forked.
        limits: Which are watched.
        watches_all: Whether more than time is watched.
    """

    def __init__(self, root: int, limits: Limits, *, watches_all: bool) -> None:
        self._root, self._limits, self._watches_all = root, limits, watches_all
        self._began = time.monotonic()
        self._next_look = 0.0
        others = [num_threads for _, num_threads in descendants(root)] if watches_all else []
        self._most_processes = len(others) + limits.strategy_processes
        self._most_threads = sum(others) + limits.threads
        self._others_shared = shared_memory()

    def check(self) -> None:
        """Raises:
        LimitReachedError: One is reached.
        """
        limits = self._limits
        if time.monotonic() - self._began > limits.strategy_seconds:
            raise LimitReachedError(f"{limits.flag('strategy_seconds')}: more seconds than that")
        if not self._watches_all or time.monotonic() < self._next_look:
            return
        began = time.monotonic()
        num_processes, num_threads, memory = 0, 0, shared_memory() - self._others_shared
        for pid, threads in descendants(self._root):  # not all of them: there may be more every moment
            num_processes, num_threads, memory = num_processes + 1, num_threads + threads, memory + own_memory(pid)
            if num_processes > self._most_processes:
                raise LimitReachedError(f"{limits.flag('strategy_processes')}: more processes at a time than that")
            if num_threads > self._most_threads:
                raise LimitReachedError(f"{limits.flag('strategy_processes')}: more threads at a time than go with it")
        if memory > limits.memory_bytes:
            raise LimitReachedError(f"{limits.flag('strategy_memory')}: more memory than so many GiB")
        # Where a look takes long it shall not take most of the time.
        now = time.monotonic()
        self._next_look = now + max(TICK_SECONDS, now - began)


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
