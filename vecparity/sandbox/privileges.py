"""What every process of a sandbox gives up, at every level, for good: as much of it as the kernel can see to."""

import ctypes
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
# The C library has no function for it.
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1
# The first version of Landlock that knows of signals (Linux 6.12).
_SIGNALS_ABI = 6


def renounce() -> None:
    """Gives up what a strategy could use against the rest of the machine, whoever runs it."""
    if sys.platform != "linux":
        return
    # When memory runs out, the kernel shall end a strategy first.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc = ctypes.CDLL(None, use_errno=True)
    # What is kept in the keyring of a login session outlives a process, and is found by the next evaluation.
    if number := _KEYCTL.get(platform.machine()):
        libc.syscall(number, _JOIN_SESSION_KEYRING, None)
    # A superuser without capabilities can neither trace the evaluator, which has them, nor raise a limit.
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)())


def enclose() -> bool:
    """Lets this process and its children to come signal and trace each other only.

    Who is enclosed may enclose its children more narrowly: a worker can reach what it has started, the fork server
    can reach its workers, and neither can reach the evaluator.

    Returns:
        Whether the kernel sees to it.
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
    """Whether this process may not signal another, asked of the kernel."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    return False


def pid_namespace() -> str:
    """The name of the process namespace that this process is in; empty where there are none."""
    return os.readlink("/proc/self/ns/pid") if sys.platform == "linux" else ""
