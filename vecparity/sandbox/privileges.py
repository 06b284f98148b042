"""Privileges that every process of a sandbox gives up permanently, at every level, as far as the kernel supports it."""

import ctypes
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from vecparity.sandbox import system_calls

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CAPABILITY_VERSION_3 = 0x20080522
_JOIN_SESSION_KEYRING = 1
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
    # Keys in the keyring of a login session outlive a process: a strategy may not even have it.
    if (number := system_calls.number("keyctl")) is not None:
        libc.syscall(number, _JOIN_SESSION_KEYRING, None)
    # Without capabilities, root can neither trace the evaluator, which has capabilities, nor raise a limit.
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)())
    if system_calls.why_not() is None:
        system_calls.refuse()


def end_with_parent(channel_fd: int) -> None:
    """Has the kernel end this process as soon as the thread that started it ends; exits if it has ended already.

    Args:
        channel_fd: A socket to the process that started this one: from within a process namespace, only that it is
            closed tells that the other has ended.
    """
    _end_with_parent(signal.SIGKILL)
    with socket.socket(fileno=os.dup(channel_fd)) as channel, suppress(BlockingIOError):
        if not channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            sys.exit()


def outlive_parent() -> None:
    """Takes back `end_with_parent`."""
    _end_with_parent(0)


def _end_with_parent(number: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


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
