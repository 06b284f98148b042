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

import psutil

from vecparity.containment import worker
from vecparity.containment.messages import ENDED, READY

_PR_SET_CHILD_SUBREAPER = 36
_TICK_SECONDS = 0.002


def main(control_fd: int, level: str, scratch: str, evaluators_pid_namespace: str) -> None:
    """Serves until the evaluator closes its end.

    Args:
        control_fd: The socket on which ends of channels come, one for each worker, and one byte to end that worker.
        level: The containment in force.
        scratch: The one directory that a strategy may write to.
        evaluators_pid_namespace: Its link in /proc, to be sure of being in another before everything in it is killed.
    """
    has_own_processes = os.readlink("/proc/self/ns/pid") != evaluators_pid_namespace
    control = socket.socket(fileno=control_fd)
    os.chdir(scratch)
    # Processes that a strategy leaves behind become children of this one, and are found.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if level == "landlock":
        from vecparity.containment.landlock import confine

        confine(scratch)
    gc.collect()
    gc.freeze()  # what is here now is shared with all workers, and not looked through in each
    control.sendall(READY)
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not message or not fds:
            return
        pid = os.fork()
        if pid == 0:
            _work(control, socket.socket(fileno=fds[0]), level)
        os.close(fds[0])
        control.sendall(ENDED.pack(*_wait(control, pid)))
        _kill_everything(has_own_processes)
        if not control.recv(1):
            return
        control.sendall(READY)


def _work(control: socket.socket, channel: socket.socket, level: str) -> None:
    """The worker's whole life."""
    try:
        control.close()
        worker.serve(channel, level)
    except BaseException:
        os._exit(1)
    os._exit(0)  # nothing that a strategy registered runs at the exit


def _wait(control: socket.socket, pid: int) -> tuple[int, float]:
    """Waits for a worker to end, or for the word to end it."""
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage.ru_utime + usage.ru_stime
        if select.select([control], [], [], _TICK_SECONDS)[0]:
            os.kill(pid, signal.SIGKILL)


def _kill_everything(has_own_processes: bool) -> None:
    """Ends whatever a worker left running."""
    while True:
        if has_own_processes:  # in a namespace of their own: all but this one and the first
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        children = psutil.Process().children(recursive=True)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        try:
            while os.waitpid(-1, 0 if children else os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            if not children:
                return


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
