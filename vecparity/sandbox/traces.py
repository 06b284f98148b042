"""Traces that a worker could leave to later workers of the same fork server, other than files and processes.

A worker runs as the same user as its fork server, and may change some attributes of the server that later workers
inherit, or make objects that the kernel keeps in the namespaces that they share. The server compares itself with what
it was before the first worker; after any difference it is not used again.
"""

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

from vecparity.sandbox.levels import WITH_NAMESPACES

# System V's objects, which outlive their makers.
_KERNEL_OBJECTS = ("msg", "sem", "shm")
_SCORES = ("oom_score_adj", "timerslack_ns", "coredump_filter", "autogroup")


def of_this_process(level: str) -> tuple[object, ...]:
    """Returns all that a worker could change of this process, or leave in its namespaces.

    Args:
        level: The containment in force. Without namespaces, System V's objects belong to the whole machine.
    """
    if sys.platform != "linux":
        return ()
    attributes = (
        os.getpriority(os.PRIO_PROCESS, 0),
        os.sched_getaffinity(0),
        os.sched_getscheduler(0),
        os.sched_getparam(0).sched_priority,
        [resource.prlimit(0, limit) for limit in _limits()],
        [_read(Path("/proc/self", name)) for name in _SCORES],
    )
    objects = [_read(Path("/proc/sysvipc", name)) for name in _KERNEL_OBJECTS] if level in WITH_NAMESPACES else []
    return *attributes, objects


def _limits() -> list[int]:
    return sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})


def _read(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text()
    return None
