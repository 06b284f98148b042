"""The fork server: a clean process with torch loaded, inside the containment, that forks a worker for each call.

It never runs a strategy's code. Workers talk to the evaluator over a channel of their own, whose end the server hands
on; what the server itself says is only how a worker ended, and is only used in words.
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
from pathlib import Path

import psutil

from vecparity.sandbox import memory, privileges, surroundings, worker
from vecparity.sandbox.levels import WITH_NAMESPACES
from vecparity.sandbox.protocol import ENDED, IN_USE, READY, WORKER_AGAIN

_PR_SET_CHILD_SUBREAPER = 36
_TICK_SECONDS = 0.002
# Between two looks at the memory of the sandbox's own namespaces, and the least change that is told.
_LOOK_SECONDS = 0.02
_TOLD_BYTES = 1 << 20
# Where processes share memory; with namespaces it is the sandbox's own.
_SHARED = Path("/dev/shm")


def main(control_fd: int, level: str, scratch: str, evaluators_pid_namespace: str) -> None:
    """Serves until the evaluator closes its end, or is gone; then nothing that was started here is left.

    Args:
        control_fd: The socket on which ends of channels come, one for each worker, and one byte to end that worker.
        level: The containment in force.
        scratch: The path that the names of the workers' own directories begin with.
        evaluators_pid_namespace: Its link in /proc, to be sure of being in another before everything in it is killed.
    """
    control = socket.socket(fileno=control_fd)
    scratch_path = Path(scratch)
    if sys.platform == "linux":
        # Processes that a strategy leaves behind become children of this one, and are found.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    privileges.renounce()
    is_enclosed = privileges.enclose() and privileges.cannot_signal(os.getppid())
    reaches_only_its_own = is_enclosed or privileges.pid_namespace() != evaluators_pid_namespace
    if level == "landlock":
        from vecparity.sandbox.landlock import confine

        confine(str(scratch_path.parent))
    try:
        _new_scratch(scratch_path).rmdir()
    except OSError as error:
        sys.exit(f"a scratch directory cannot be made (TMPDIR): {error}")
    gc.collect()
    gc.freeze()  # what is here now is shared with all workers, and not looked through in each
    status = os.EX_OK
    try:
        control.sendall(READY)
        while _serve(control, level, scratch_path, reaches_only_its_own):
            control.sendall(READY)
    except _NoWorkerError as error:
        sys.stderr.write(f"{error}\n")
        status = os.EX_OSERR
    except OSError:
        pass  # the evaluator is gone
    finally:
        _kill_everything(reaches_only_its_own)
        os._exit(status)


class _NoWorkerError(Exception):
    """The machine lets the server start no worker."""


def _serve(control: socket.socket, level: str, prefix: Path, reaches_only_its_own: bool) -> bool:
    """Has one worker live its life. Returns whether there may be another."""
    message, fds, _, _ = socket.recv_fds(control, 1, 1)
    if not message or not fds:
        return False
    has_namespaces = level in WITH_NAMESPACES
    try:
        scratch = _new_scratch(prefix)
    except OSError as error:
        if has_namespaces:  # there only a strategy can have closed or filled the place
            raise
        raise _NoWorkerError(f"a scratch directory cannot be made: {error}") from error
    is_again = message == WORKER_AGAIN
    try:
        try:
            if is_again:
                surroundings.use_up_process_numbers()
            pid = os.fork()
        except OSError as error:
            raise _NoWorkerError(f"a process cannot be forked: {error}") from error
        if pid == 0:
            _work(control, socket.socket(fileno=fds[0]), level, scratch, is_again=is_again)
        os.close(fds[0])
        ended = _wait(control, pid, reaches_only_its_own, [prefix.parent, _SHARED] if has_namespaces else [])
        control.sendall(ENDED.pack(*ended))
    finally:
        _kill_everything(reaches_only_its_own)
        # What a worker leaves is not found by the next, nor by anybody when the evaluator is gone.
        _remove([*prefix.parent.iterdir(), *_SHARED.iterdir()] if has_namespaces else [scratch])
    return bool(control.recv(1))


def _bytes_in_use(directory: Path) -> int:
    """Bytes of the file system that a directory is on."""
    status = os.statvfs(directory)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _new_scratch(prefix: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=prefix.name, dir=prefix.parent))


def _remove(paths: list[Path]) -> None:
    """Removes files and directories, however deep they are and whatever their modes are."""
    with contextlib.suppress(RecursionError):
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
    if left := [str(path) for path in paths if os.path.lexists(path)]:
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", *left], stderr=subprocess.DEVNULL, check=False)


def _work(control: socket.socket, channel: socket.socket, level: str, scratch: Path, *, is_again: bool) -> None:
    """The worker's whole life."""
    try:
        control.close()
        os.setpgid(0, 0)  # so that the evaluator, too, can end most of what it starts at once
        privileges.enclose()
        os.chdir(scratch)
        os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        if is_again:
            surroundings.shift_clocks()
        worker.serve(channel, level, scratch)
    except BaseException:
        os._exit(1)
    os._exit(0)  # nothing that a strategy registered runs at the exit


def _wait(control: socket.socket, pid: int, reaches_only_its_own: bool, in_memory: list[Path]) -> tuple[int, float]:
    """Waits for a worker to end, or for the word to end it, with all that it started.

    Meanwhile it tells what directories in memory, and segments of shared memory, have grown to.
    """
    told, next_look = 0, 0.0
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage.ru_utime + usage.ru_stime
        if in_memory and time.monotonic() >= next_look:
            next_look = time.monotonic() + _LOOK_SECONDS
            in_use = sum(map(_bytes_in_use, in_memory)) + sum(size for _, _, size in memory.segments().values())
            if abs(in_use - told) >= _TOLD_BYTES:
                control.sendall(ENDED.pack(IN_USE, in_use))
                told = in_use
        if select.select([control], [], [], _TICK_SECONDS)[0]:
            _kill(reaches_only_its_own)


def _kill_everything(reaches_only_its_own: bool) -> None:
    """Ends whatever a worker left running."""
    while True:
        _kill(reaches_only_its_own)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return  # orphans become its children: no children, no descendants
        time.sleep(_TICK_SECONDS)


def _kill(reaches_only_its_own: bool) -> None:
    """Ends what runs here, this process excepted."""
    if reaches_only_its_own:  # a signal to everybody: nobody can outrun it
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
        return
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
