"""Privileges that every process of a sandbox gives up permanently, at every level, as far as the kernel supports it."""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
# Numbers of the system calls add_key, request_key and keyctl, for which the C library has no functions.
_KEY_CALLS = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}
_KEYCTL = {machine: calls[-1] for machine, calls in _KEY_CALLS.items()}
_JOIN_SESSION_KEYRING = 1
# Seccomp: its prctl constants, the kernel's names of machines, and a filter's answers (linux/seccomp.h, linux/audit.h).
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
# Instructions of the kernel's packet filter, in which seccomp's filters are written (linux/bpf_common.h).
_LOAD, _IS_EQUAL, _IS_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in the data of a call
# Numbers from here on are the calls of another convention of x86_64.
_OTHER_CONVENTION = 0x40000000
# The first version of Landlock that can restrict signals (Linux 6.12).
_SIGNALS_ABI = 6


def renounce() -> None:
    """Gives up privileges that a strategy could use against the rest of the machine, under any user."""
    if sys.platform != "linux":
        return
    # When memory runs out, the kernel should end a strategy first.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc = ctypes.CDLL(None, use_errno=True)
    # Keys in the keyring of a login session outlive a process, and the next evaluation could find them.
    if number := _KEYCTL.get(platform.machine()):
        libc.syscall(number, _JOIN_SESSION_KEYRING, None)
    # Without capabilities, root can neither trace the evaluator, which has capabilities, nor raise a limit.
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)())
    if (machine := platform.machine()) in _KEY_CALLS:
        _refuse_calls(libc, _ARCHITECTURES[machine], _KEY_CALLS[machine])


def _refuse_calls(libc: ctypes.CDLL, architecture: int, numbers: Sequence[int]) -> None:
    """Refuses system calls to this thread and its future children, where the kernel supports seccomp.

    The keyring of a user outlives every process, and a later worker could find a key in it.
    """
    count = len(numbers)
    program = [  # an instruction, how many to skip if it holds and if not, and its operand
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IS_EQUAL, 0, count + 3, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_IS_AT_LEAST, count + 1, 0, _OTHER_CONVENTION),
        *((_IS_EQUAL, count - index, 0, number) for index, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    filter_ = struct.pack("@HP", len(program), ctypes.addressof(instructions))
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_, 0, 0)


def enclose() -> bool:
    """Restricts this process and its future children to signalling and tracing each other.

    An enclosed process may enclose its children more narrowly: a worker can reach the processes that it started, the
    fork server can reach its workers, and neither can reach the evaluator.

    Returns:
        Whether the kernel enforces the restriction.
    """
    try:
        from landlockpy import AccessFS, AccessNet, Ruleset, Scope, abi_version
    except ImportError:
        return False
    if abi_version() < _SIGNALS_ABI:
        return False
    with Ruleset(handled_fs=AccessFS.NONE, handled_net=AccessNet.NONE, scoped=Scope.SIGNAL) as ruleset:
        ruleset.restrict()
    return True


def cannot_signal(pid: int) -> bool:
    """Asks the kernel whether this process is forbidden to signal another."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    return False


def pid_namespace() -> str:
    """Returns the name of this process's process namespace; empty if the system has none."""
    return os.readlink("/proc/self/ns/pid") if sys.platform == "linux" else ""
