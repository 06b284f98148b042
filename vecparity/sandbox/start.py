"""Starts a contained fork server, now or ahead of time. Needs no torch, and so can run before torch is loaded."""

import os
import secrets
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from vecparity.errors import MachineError, UsageError
from vecparity.sandbox import levels
from vecparity.sandbox.levels import WITH_NAMESPACES, Level
from vecparity.sandbox.limits import Limits


@dataclass(frozen=True)
class Started:
    """A fork server's first process and the evaluator's end of the socket to it.

    Attributes:
        process: The process of the server, or of the program that contains it.
        control: The socket.
        scratch: The path prefix of the workers' directories; None if they are in memory that disappears with the
            server. The server makes and removes the directories, so that none stays when the evaluator is killed.
    """

    process: "subprocess.Popen[bytes]"
    control: socket.socket
    scratch: Path | None

    def directories(self) -> list[Path]:
        """Returns the workers' directories that exist."""
        return list(self.scratch.parent.glob(f"{self.scratch.name}*")) if self.scratch else []

    def remove_directories(self) -> None:
        """Removes the directories that a killed server left behind, at any depth and with any file modes."""
        if left := [str(path) for path in self.directories()]:
            for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
                subprocess.run([*command, "--", *left], stderr=subprocess.DEVNULL, check=False)


def start(level: Level, limits: Limits, output: int, *, needs_cuda: bool) -> Started:
    """Starts a fork server and does not wait for it.

    Args:
        level: The containment.
        limits: The limits of its workers.
        output: A file descriptor for everything printed in the sandbox.
        needs_cuda: Whether ``init_model`` draws on a GPU.

    Raises:
        MachineError: The server cannot be started.
    """
    scratch = None
    if level not in WITH_NAMESPACES:
        try:
            scratch = Path(tempfile.gettempdir(), f"vecparity-{secrets.token_hex(8)}-")
        except OSError as error:
            raise MachineError(f"TMPDIR must be a directory that can be written, got {error}") from error
    control, servers_end = socket.socketpair()
    with servers_end:
        command = levels.command(level, servers_end.fileno(), scratch, limits, needs_cuda=needs_cuda)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[servers_end.fileno()],
                env=levels.environment(scratch, needs_cuda=needs_cuda),
                cwd="/",
                umask=0o077,  # files are private to the user, and fully usable
                start_new_session=True,  # an interrupt from the keyboard goes to the evaluator only
            )
        except OSError as error:
            control.close()
            raise MachineError(f"the {level} containment could not be started: {error}") from error
    return Started(process, control, scratch)


class Ahead:
    """Fork servers started ahead of time, handed out within a ``with`` block; leftover servers are ended.

    Args:
        level: The containment.
        limits: The limits of their workers.
        count: Number of servers, one for each strategy.
        needs_cuda: Whether ``init_model`` draws on a GPU.
    """

    def __init__(self, level: Level, limits: Limits, count: int, *, needs_cuda: bool) -> None:
        self._kind = level, limits, needs_cuda
        self.pipe: tuple[int, int] | None = os.pipe()
        self._servers = [start(level, limits, self.pipe[1], needs_cuda=needs_cuda) for _ in range(count)]

    def __enter__(self) -> "Ahead":
        _ahead.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ahead.remove(self)
        for server in self._servers:
            server.control.close()  # makes the server end by itself
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
            server.remove_directories()
        for end in self.pipe or ():
            os.close(end)

    def take(self, kind: tuple[Level, Limits, bool]) -> Started | None:
        """Returns a server of this kind if one is left, else None."""
        return self._servers.pop() if kind == self._kind and self._servers else None


# The process that first took a fork server: this process, or one that it was forked from.
_takers: dict[str, int] = {}
# The fork servers that the command started ahead of time, if any.
_ahead: list[Ahead] = []


def output_pipe() -> tuple[int, int]:
    """Returns a pipe for the output of sandboxes: the pipe of the servers started ahead, or a new one."""
    for ahead in _ahead:
        if ahead.pipe is not None:
            pipe, ahead.pipe = ahead.pipe, None
            return pipe
    return os.pipe()


def take_or_start(level: Level, limits: Limits, output: int, *, needs_cuda: bool) -> Started:
    """Takes a fork server that was started ahead, or starts one, see `start`.

    Raises:
        MachineError: See `start`.
        UsageError: This process was forked from one that took a server. Torch's threads do not survive the fork, and
            code that waits for them would wait forever.
    """
    taker = _takers.setdefault("first", os.getpid())
    if taker != os.getpid():
        raise UsageError(
            f"strategies must not be run in a fork of a process that has run some, got a fork of process {taker}: use "
            "the spawn start method, as in multiprocessing.get_context('spawn')"
        )
    for ahead in _ahead:
        if started := ahead.take((level, limits, needs_cuda)):
            return started
    return start(level, limits, output, needs_cuda=needs_cuda)
