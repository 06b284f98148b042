"""The fork server: a clean process with torch loaded, inside the containment, that forks a worker for each call.

It never runs a strategy's code. Each worker talks to the evaluator over its own channel, and the server passes on its
end of that channel. The server itself reports only how a worker ended, and the evaluator uses that only in messages.
"""

import contextlib
import ctypes
import gc
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from vecparity.sandbox import memory, privileges, surroundings, traces, worker
from vecparity.sandbox.levels import WITH_NAMESPACES
from vecparity.sandbox.protocol import ENDED, IN_USE, READY, TOUCHED, WORKER_AGAIN

_PR_SET_CHILD_SUBREAPER = 36
_TICK_SECONDS = 0.002
# Interval between two checks of the memory of the sandbox's own namespaces, and the smallest change reported.
_LOOK_SECONDS = 0.02
_TOLD_BYTES = 1 << 20
# The directory of shared memory; with namespaces it is the sandbox's own.
_SHARED = Path("/dev/shm")


def main(control_fd: int, level: str, scratch: str, evaluators_pid_namespace: str) -> None:
    """Serves until the evaluator closes its end or exits, and then ends every process started here.

    Args:
        control_fd: The socket that receives one end of a channel for each worker, and one byte to end that worker.
        level: The containment in force.
        scratch: The path prefix of the workers' own directories.
        evaluators_pid_namespace: The link in /proc to the evaluator's process namespace, to be sure that the server is
            in another before it kills every process in its own.
    """
    control = socket.socket(fileno=control_fd)
    scratch_path = Path(scratch)
    if sys.platform == "linux":
        # Processes that a strategy leaves behind become children of this process, which can then find them.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    privileges.renounce()
    is_enclosed = privileges.enclose() and privileges.cannot_signal(os.getppid())
    reaches_only_its_own = is_enclosed or privileges.pid_namespace() != evaluators_pid_namespace
    if level == "landlock":
        from vecparity.sandbox.landlock import confine

        confine(str(scratch_path.parent))
    if level not in WITH_NAMESPACES:
        # While it loaded, the kernel would have ended this process with the evaluator. From here on, it stays to end
        # its workers and remove their files.
        privileges.outlive_parent()
    try:
        _new_scratch(scratch_path).rmdir()
    except OSError as error:
        sys.exit(f"a scratch directory cannot be made (TMPDIR): {error}")
    gc.collect()
    gc.freeze()  # objects made so far are shared with all workers, and no worker's collector scans them
    gc.enable()
    status = os.EX_OK
    try:
        untouched = traces.of_this_process(level)
        control.sendall(READY)
        while _serve(control, level, scratch_path, reaches_only_its_own):
            control.sendall(READY if traces.of_this_process(level) == untouched else TOUCHED)
    except _NoWorkerError as error:
        sys.stderr.write(f"{error}\n")
        status = os.EX_OSERR
    except OSError:
        pass  # the evaluator has exited
    finally:
        _kill_everything(reaches_only_its_own)
        os._exit(status)


class _NoWorkerError(Exception):
    """The machine does not let the server start a worker."""


def _serve(control: socket.socket, level: str, prefix: Path, reaches_only_its_own: bool) -> bool:
    """Runs one worker from start to end. Returns whether another may follow."""
    message, fds, _, _ = socket.recv_fds(control, 1, 1)
    if not message or not fds:
        return False
    has_namespaces = level in WITH_NAMESPACES
    try:
        scratch = _new_scratch(prefix)
    except OSError as error:
        if has_namespaces:  # inside namespaces only a strategy can have closed or filled the directory
            raise
        raise _NoWorkerError(f"a scratch directory cannot be made: {error}") from error
    is_again = message == WORKER_AGAIN
    try:
        try:
            if is_again:
                surroundings.use_up_process_numbers()
            pid = os.fork()
        except (OSError, RuntimeError) as error:  # the latter is a thread's
            raise _NoWorkerError(f"a process cannot be forked: {error}") from error
        if pid == 0:
            _work(control, socket.socket(fileno=fds[0]), level, scratch, is_again=is_again)
        os.close(fds[0])
        ended = _wait(control, pid, reaches_only_its_own, [prefix.parent, _SHARED] if has_namespaces else [])
        control.sendall(ENDED.pack(*ended))
    finally:
        _kill_everything(reaches_only_its_own)
        # A worker's files must not reach the next worker, or remain when the evaluator has exited.
        _remove([*prefix.parent.iterdir(), *_SHARED.iterdir()] if has_namespaces else [scratch])
    return bool(control.recv(1))


def _bytes_in_use(directory: Path) -> int:
    """Returns the bytes in use on a directory's file system."""
    status = os.statvfs(directory)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _new_scratch(prefix: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=prefix.name, dir=prefix.parent))


def _remove(paths: list[Path]) -> None:
    """Removes files and directories, at any depth and with any file modes."""
    with contextlib.suppress(RecursionError):
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
    if left := [str(path) for path in paths if os.path.lexists(path)]:
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", *left], stderr=subprocess.DEVNULL, check=False)


def _work(control: socket.socket, channel: socket.socket, level: str, scratch: Path, *, is_again: bool) -> None:
    """Runs the worker, in the forked process, and exits."""
    try:
        control.close()
        os.setpgid(0, 0)  # so that the evaluator can also end most of the worker's processes at once
        privileges.enclose()
        os.chdir(scratch)
        os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        if is_again:
            surroundings.shift_clocks()
        worker.serve(channel, level, scratch)
    except BaseException:
        os._exit(1)
    os._exit(0)  # skips exit handlers that a strategy registered


def _wait(control: socket.socket, pid: int, reaches_only_its_own: bool, in_memory: list[Path]) -> tuple[int, float]:
    """Waits for a worker to end, or for the command to end it with every process that it started.

    Meanwhile reports the size of directories in memory and of shared-memory segments. Returns the wait status and the
    CPU time in seconds.
    """
    told, next_look = 0, 0.0
    with _notices_of_end(pid) as notices:
        longest = _LOOK_SECONDS if notices else _TICK_SECONDS
        while True:
            if sys.platform == "linux":  # elsewhere no orphan becomes a child of this process
                _take_note_of_orphans(pid)
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                return status, usage.ru_utime + usage.ru_stime
            if in_memory and time.monotonic() >= next_look:
                next_look = time.monotonic() + _LOOK_SECONDS
                in_use = sum(map(_bytes_in_use, in_memory)) + sum(size for _, _, size in memory.segments().values())
                if abs(in_use - told) >= _TOLD_BYTES:
                    control.sendall(ENDED.pack(IN_USE, in_use))
                    told = in_use
            if control.fileno() in select.select([control.fileno(), *notices], [], [], longest)[0]:
                _kill(reaches_only_its_own)


def _take_note_of_orphans(worker: int) -> None:
    """Lets those processes go that a worker left to this one and that have ended: they count as processes until then.

    Args:
        worker: The worker's process number; that it has ended is not taken note of here.
    """
    while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != worker:
        os.waitpid(ended.si_pid, 0)


@contextlib.contextmanager
def _notices_of_end(pid: int) -> Iterator[list[int]]:
    """Opens what becomes readable when a child ends; nothing where the kernel has no such thing."""
    try:
        notice = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield []
        return
    try:
        yield [notice]
    finally:
        os.close(notice)


def _kill_everything(reaches_only_its_own: bool) -> None:
    """Ends every process that a worker left running."""
    while True:
        _kill(reaches_only_its_own)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return  # orphans become children of this process, so no children means no descendants
        time.sleep(_TICK_SECONDS)


def _kill(reaches_only_its_own: bool) -> None:
    """Ends the sandbox's processes except this one."""
    if reaches_only_its_own:  # one signal to all processes, which none can outrun
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
        return
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
