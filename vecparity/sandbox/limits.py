"""Resource limits of a worker, and the message for each limit that is reached."""

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real

import psutil

from vecparity.errors import UsageError
from vecparity.sandbox import memory
from vecparity.sandbox.processes import descendants

_GIB = 1 << 30
_MIB = 1 << 20
# Interval between two checks of a worker's usage.
TICK_SECONDS = 0.02
# CPU seconds that a process has left after the signal that its CPU time is used up.
_SECONDS_TOLD = 2
# Larger than any machine needs, and small enough for the kernel.
_MOST = {
    "strategy_seconds": 10**9,
    "strategy_cpu_seconds": 10**9,
    "strategy_memory": 2**20,
    "strategy_processes": 2**22,
    "strategy_file_size": 2**30,
}
# The limits that the kernel enforces: the resource, its letter in a shell's ulimit, and its unit.
_KERNELS = {
    "strategy_cpu_seconds": (resource.RLIMIT_CPU, "t", 1),
    "strategy_memory": (resource.RLIMIT_AS, "v", _GIB),
    "strategy_processes": (resource.RLIMIT_NPROC, "u", 1),
    "strategy_file_size": (resource.RLIMIT_FSIZE, "f", _MIB),
}
# Directories whose files are held in memory.
_SHARED = ("/dev/shm",)


def num_cpus() -> int:
    """Returns the number of CPUs of the machine."""
    return os.cpu_count() or 1


def _three_quarters_of_memory() -> float:
    return round(0.75 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB, 2)


@dataclass(frozen=True)
class Limits:
    """Limits of each worker, and so of one call's worth of a strategy's work.

    Attributes:
        strategy_seconds: Wall time, in seconds.
        strategy_cpu_seconds: CPU time of each process, in seconds. The default is one hour on every CPU, counting at
            least 4 CPUs.
        strategy_memory: Address space of each process and total memory of all processes, in GiB. The default is three
            quarters of the machine's memory.
        strategy_processes: Processes at a time. The limit on processes and threads together is 8 higher for each CPU.
        strategy_file_size: Size of each file, in MiB; under bwrap and landlock, of all files together.

    Raises:
        UsageError: A limit is not a number above 0, or is larger than any machine needs.
    """

    # A public strategy that makes its 12.8 million rows one by one takes minutes here and may take an hour elsewhere.
    strategy_seconds: float = 3600.0
    strategy_cpu_seconds: int = 3600 * max(4, num_cpus())
    strategy_memory: float = _three_quarters_of_memory()
    strategy_processes: int = 64
    strategy_file_size: int = 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            kind: type = int if field.type is int else float
            words = "a whole number" if kind is int else "a number"
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not is_number:
                raise UsageError(f"{name} must be {words}, got {value!r}")
            if not value > 0:  # true for NaN as well
                raise UsageError(f"{name} must be above 0, got {value}")
            if value > _MOST[name]:
                raise UsageError(f"{name} must be at most {_MOST[name]}, got {value}")
            if value != kind(value):
                raise UsageError(f"{name} must be {words}, got {value}")
            object.__setattr__(self, name, kind(value))

    @property
    def memory_bytes(self) -> int:
        return int(self.strategy_memory * _GIB)

    @property
    def file_bytes(self) -> int:
        return self.strategy_file_size * _MIB

    @property
    def threads(self) -> int:
        """Maximum number of threads of all processes together; libraries start some for each CPU by themselves."""
        return self.strategy_processes + 8 * num_cpus()

    def reached(self, name: str, words: str, *, by_kernel: bool = False) -> str:
        """Builds the message for a limit that was reached.

        Args:
            name: The limit.
            words: A verb and the usage compared with the limit; ``{most}`` stands for the limit.
            by_kernel: Whether the kernel enforced the limit; it also enforces the limits of the user's shell.
        """
        flag, value = f"--{name.replace('_', '-')}", getattr(self, name)
        if by_kernel:
            which, letter, unit = _KERNELS[name]
            limit = self.threads if which == resource.RLIMIT_NPROC else value * unit
            _, hard = resource.getrlimit(which)
            if hard != resource.RLIM_INFINITY and hard < limit:
                shell = f"ulimit -{letter} of the shell, lower than {flag} {value:g}"
                return f"{words.format(most=f'{hard / unit:.3g}')} ({shell})"
        return f"{words.format(most=f'{value:g}')} (raise it with {flag})"

    @property
    def cpu_seconds(self) -> tuple[int, int]:
        """CPU seconds until a process is sent a signal that it may ignore, and until it is killed."""
        most = self.strategy_cpu_seconds + _SECONDS_TOLD
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        return max(1, most - _SECONDS_TOLD), most

    def apply(self, *, counts_processes: bool, bounds_memory: bool) -> None:
        """Sets the resource limits of this process and its future children.

        Args:
            counts_processes: Whether the kernel may count processes. It counts all processes of a user, so this works
                only for a user in a separate namespace. Elsewhere, and for root, the evaluator counts.
            bounds_memory: Whether address space is limited. CUDA maps far more address space than there is memory.
        """
        _limit(resource.RLIMIT_CORE, 0)
        if hasattr(resource, "RLIMIT_MSGQUEUE"):  # POSIX message queues would outlive the worker, unseen
            _limit(resource.RLIMIT_MSGQUEUE, 0)
        resource.setrlimit(resource.RLIMIT_CPU, self.cpu_seconds)
        _limit(resource.RLIMIT_FSIZE, self.file_bytes)
        if bounds_memory:
            _limit(resource.RLIMIT_AS, self.memory_bytes)
        if counts_processes:
            _limit(resource.RLIMIT_NPROC, self.threads)


@dataclass(frozen=True)
class CheckLimits(Limits):
    """Limits for checks, where a user waits for an answer that is not a score."""

    strategy_seconds: float = 600.0


class LimitReachedError(Exception):
    """A worker reached a limit. The text completes "make_dataset ..." with the amount used, the limit and its flag."""


class Usage:
    """Resource usage of one worker and its children, checked by the evaluator from outside.

    Args:
        root: The sandbox's first process, before the worker is forked.
        limits: The limits to enforce.
        watches_all: Whether to enforce more than the time limit.
        has_namespaces: Whether the sandbox has its own files in memory and segments, reported by its fork server.

    Attributes:
        reported: Bytes of shared memory that the fork server reported last.
    """

    def __init__(self, root: int, limits: Limits, *, watches_all: bool, has_namespaces: bool = False) -> None:
        self._root, self._limits, self._watches_all, self._has_namespaces = root, limits, watches_all, has_namespaces
        self.reported = 0
        self._began = time.monotonic()
        self._next_look = 0.0
        if not watches_all:
            return
        others = list(descendants(root))
        self._most_processes = len(others) + limits.strategy_processes
        self._most_threads = sum(num_threads for _, num_threads in others) + limits.threads
        shared = [path for path in _SHARED if not has_namespaces and os.path.exists(path)]
        devices = [memory.memory_device(), *(os.stat(path).st_dev for path in shared)]
        self._devices = frozenset(device for device in devices if device is not None)
        self._others_segments = memory.segments().keys()
        self._sees_all = all(self._sees(pid) for pid in (root, *(pid for pid, _ in others)))

    def check(self) -> None:
        """Checks the usage against the limits.

        Raises:
            LimitReachedError: A limit is reached.
        """
        limits = self._limits
        if time.monotonic() - self._began > limits.strategy_seconds:
            raise LimitReachedError(limits.reached("strategy_seconds", "did not finish within {most} s"))
        if not self._watches_all or time.monotonic() < self._next_look:
            return
        began = time.monotonic()
        pids, num_threads, used, files = [], 0, 0, dict[memory.File, int]()
        for pid, threads in descendants(self._root):  # stops early: a strategy may start more every moment
            pids.append(pid)
            num_threads += threads
            if len(pids) > self._most_processes:
                num_processes = len(pids) - self._most_processes + limits.strategy_processes
                words = f"ran {num_processes} processes at a time, over the limit of {{most}}"
                raise LimitReachedError(limits.reached("strategy_processes", words))
            if num_threads > self._most_threads:
                used_threads = num_threads - self._most_threads + limits.threads
                words = f"ran {used_threads} threads at a time, over the limit of {limits.threads}"
                raise LimitReachedError(limits.reached("strategy_processes", words))
            used += sum(memory.resident(pid) or ())
            files |= self._open_files(pid)
        segments = self._segments(pids)
        if used + sum(files.values()) + segments > limits.memory_bytes:  # this sum counts shared memory repeatedly
            used = memory.exact(pids, self._devices) + segments
            if used > limits.memory_bytes:
                words = f"used {used / _GIB:.3g} GiB, over the limit of {{most}} GiB"
                raise LimitReachedError(limits.reached("strategy_memory", words))
        # A slow check must not take up most of the time.
        now = time.monotonic()
        self._next_look = now + max(TICK_SECONDS, now - began)

    def _sees(self, pid: int) -> bool:
        try:
            memory.open_files(pid, self._devices)
        except memory.HiddenError:
            return False
        return True

    def _open_files(self, pid: int) -> dict[memory.File, int]:
        try:
            return memory.open_files(pid, self._devices)
        except memory.HiddenError as error:
            if not self._sees_all:  # on this machine no process's files are visible
                return {}
            words = "must let its memory be measured (--strategy-memory), got a process that hides its open files"
            raise LimitReachedError(words) from error

    def _segments(self, pids: Sequence[int]) -> int:
        """Bytes of shared-memory segments made since the start by these processes or by processes that have ended."""
        if self._has_namespaces:
            return self.reported
        return sum(
            num_bytes
            for number, (maker, user, num_bytes) in memory.segments().items()
            if number not in self._others_segments
            and user == os.geteuid()
            and (maker in pids or not psutil.pid_exists(maker))
        )


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
