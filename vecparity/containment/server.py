"""The fork server: a clean process with torch loaded, inside the containment, that forks a worker for each call.

It never runs a strategy's code. Workers talk to the evaluator over a channel of their own, whose end the server hands
on; what the server itself says is only how a worker ended, and is only used in words.
"""

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time

import psutil

from vecparity.containment import privileges, surroundings, worker
from vecparity.containment.messages import ENDED, READY, WORKER_AGAIN

_PR_SET_CHILD_SUBREAPER = 36
_TICK_SECONDS = 0.002


def main(control_fd: int, level: str, scratch: str, evaluators_pid_namespace: str) -> None:
    """Serves until the evaluator closes its end, or is gone; then nothing that was started here is left.

    Args:
        control_fd: The socket on which ends of channels come, one for each worker, and one byte to end that worker.
        level: The containment in force.
        scratch: The one directory that a strategy may write to.
        evaluators_pid_namespace: Its link in /proc, to be sure of being in another before everything in it is killed.
    """
    control = socket.socket(fileno=control_fd)
    os.chdir(scratch)
    if sys.platform == "linux":
        # Processes that a strategy leaves behind become children of this one, and are found.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    privileges.renounce()
    is_enclosed = privileges.enclose() and privileges.cannot_signal(os.getppid())
    reaches_only_its_own = is_enclosed or privileges.pid_namespace() != evaluators_pid_namespace
    if level == "landlock":
        from vecparity.containment.landlock import confine

        confine(scratch)
    gc.collect()
    gc.freeze()  # what is here now is shared with all workers, and not looked through in each
    try:
        control.sendall(READY)
        while _serve(control, level, reaches_only_its_own):
            control.sendall(READY)
    except OSError:
        pass  # the evaluator is gone
    finally:
        _kill_everything(reaches_only_its_own)
        os._exit(0)


def _serve(control: socket.socket, level: str, reaches_only_its_own: bool) -> bool:
    """Has one worker live its life. Returns whether there may be another."""
    message, fds, _, _ = socket.recv_fds(control, 1, 1)
    if not message or not fds:
        return False
    is_again = message == WORKER_AGAIN
    if is_again:
        surroundings.use_up_process_numbers()
    pid = os.fork()
    if pid == 0:
        _work(control, socket.socket(fileno=fds[0]), level, is_again=is_again)
    os.close(fds[0])
    ended = _wait(control, pid, reaches_only_its_own)
    control.sendall(ENDED.pack(*ended))
    _kill_everything(reaches_only_its_own)
    return bool(control.recv(1))


def _work(control: socket.socket, channel: socket.socket, level: str, *, is_again: bool) -> None:
    """The worker's whole life."""
    try:
        control.close()
        os.setpgid(0, 0)  # so that the evaluator, too, can end most of what it starts at once
        privileges.enclose()
        if is_again:
            surroundings.shift_clocks()
        worker.serve(channel, level)
    except BaseException:
        os._exit(1)
    os._exit(0)  # nothing that a strategy registered runs at the exit


def _wait(control: socket.socket, pid: int, reaches_only_its_own: bool) -> tuple[int, float]:
    """Waits for a worker to end, or for the word to end it, with all that it started."""
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage.ru_utime + usage.ru_stime
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
