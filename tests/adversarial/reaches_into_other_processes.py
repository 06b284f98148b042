"""Reaches into the processes that it descends from, and their others: their memory, files, limits and turns."""

# at bwrap landlock limits none: as honest
# slow: landlock limits
# filter: yes

import ctypes
import os
import platform
import resource
from contextlib import suppress
from pathlib import Path

import torch

READ, WRITE, ADVISE, GET_FILE, COMPARE, PRIORITY_OF_READING, MOVE = {
    "x86_64": (310, 311, 440, 438, 312, 251, 279),
    "aarch64": (270, 271, 440, 438, 272, 30, 239),
}[platform.machine()]
TRACE_ATTACH, TRACE_SEIZE, COLD = 16, 0x4206, 20
libc = ctypes.CDLL(None, use_errno=True)


class Span(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def others():
    """Yields the processes that this one descends from, and their other children."""
    pid = os.getppid()
    while pid > 0 and Path(f"/proc/{pid}/stat").exists():
        yield pid
        with suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            yield from (int(child) for child in children if int(child) != os.getpid())
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def called(number, *arguments):
    return libc.syscall(number, *arguments) >= 0


def ways(pid):
    """Yields every way, and whether it leads into another process: by what reads, or is without effect."""
    buffer = ctypes.create_string_buffer(8)
    here, there = Span(ctypes.addressof(buffer), 8), Span(id(buffer), 8)
    spans = ctypes.byref(here), ctypes.c_ulong(1), ctypes.byref(there), ctypes.c_ulong(1), ctypes.c_ulong(0)
    yield "read its memory", called(READ, pid, *spans)
    yield "wrote to its memory", called(WRITE, pid, *spans)
    yield "moved its pages", called(MOVE, pid, ctypes.c_ulong(0), None, None, None, 0)
    yield "traced it", libc.ptrace(TRACE_SEIZE, pid, None, None) == 0 or libc.ptrace(TRACE_ATTACH, pid, None, None) == 0
    yield "compared its files", called(COMPARE, os.getpid(), pid, 0, 0, 0)
    with suppress(OSError):
        handle = os.pidfd_open(pid)
        yield "took a file of its own", called(GET_FILE, handle, 0, 0)
        yield "advised on its memory", called(ADVISE, handle, ctypes.byref(there), 1, COLD, 0)
    for name in ("mem", "environ"):
        with suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
            yield f"opened its {name}", name == "mem" or bool(file.read(1))
    for name, number in vars(resource).items():
        if name.startswith("RLIMIT_"):
            with suppress(OSError):
                resource.prlimit(pid, number, resource.prlimit(pid, number))
                yield f"set its {name}", True
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))
        yield "set its niceness", True
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, 0, os.getpriority(os.PRIO_PGRP, 0))
        yield "set a group's niceness", True
    with suppress(OSError):
        os.sched_setaffinity(pid, os.sched_getaffinity(pid))
        yield "set its processors", True
    with suppress(OSError):
        os.sched_setscheduler(pid, os.sched_getscheduler(pid), os.sched_getparam(pid))
        yield "set its scheduler", True
    yield "set its turns at reading", called(PRIORITY_OF_READING, 1, pid, 0)


def init_model(model, config):
    for pid in others():
        for way, is_in in ways(pid):
            if is_in:
                raise RuntimeError(f"{way}: process {pid}")


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
