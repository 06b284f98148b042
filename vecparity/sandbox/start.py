"""Starting a contained fork server, now or ahead of time. Needs no torch, and so can be done before that is loaded."""

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
        process: Of the server, or of what contains it.
        control: The socket.
        scratch: The path that the names of its workers' directories begin with; None where they are in memory that is
            gone with the server. The server makes and removes them, so that none is left when the evaluator is killed.
    """

    process: "subprocess.Popen[bytes]"
    control: socket.socket
    scratch: Path | None

    def directories(self) -> list[Path]:
        """The workers' directories that are there."""
        return list(self.scratch.parent.glob(f"{self.scratch.name}*")) if self.scratch else []

    def remove_directories(self) -> None:
        """Removes what a server that was killed could not, however deep it is and whatever its modes are."""
        if left := [str(path) for path in self.directories()]:
            for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
                subprocess.run([*command, "--", *left], stderr=subprocess.DEVNULL, check=False)


def start(level: Level, limits: Limits, output: int, *, needs_cuda: bool) -> Started:
    """Starts a fork server and does not wait for it.

    Args:
        level: The containment.
        limits: What its workers may use.
        output: A file descriptor for all that is printed there.
        needs_cuda: Whether ``init_model`` draws on a GPU.

    Raises:
        MachineError: It cannot be started.
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
                umask=0o077,  # nothing is anybody else's business, and what is made can be used
                start_new_session=True,  # an interrupt from the keyboard is the evaluator's business
            )
        except OSError as error:
            control.close()
            raise MachineError(f"the {level} containment could not be started: {error}") from error
    return Started(process, control, scratch)


class Ahead:
    """Fork servers that are started within a ``with``, for whoever asks for such ones; those left over are ended.

    Args:
        level: The containment.
        limits: What their workers may use.
        count: How many, one for each strategy.
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
            server.control.close()  # upon which it ends by itself
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
            server.remove_directories()
        for end in self.pipe or ():
            os.close(end)

    def take(self, kind: tuple[Level, Limits, bool]) -> Started | None:
        """Hands out a server, if one of this kind is left."""
        return self._servers.pop() if kind == self._kind and self._servers else None


# The process that has first taken a fork server: this one, or one that it was forked from.
_takers: dict[str, int] = {}
# What the command has started, if it has.
_ahead: list[Ahead] = []


def output_pipe() -> tuple[int, int]:
    """A pipe for what is printed in sandboxes: the one that servers started ahead write to, or a new one."""
    for ahead in _ahead:
        if ahead.pipe is not None:
            pipe, ahead.pipe = ahead.pipe, None
            return pipe
    return os.pipe()


def take_or_start(level: Level, limits: Limits, output: int, *, needs_cuda: bool) -> Started:
    """Takes a fork server that was started ahead, or starts one, see `start`.

    Raises:
        MachineError: See `start`.
        UsageError: This process was forked from one that has taken some: torch's threads are not there any more, and
            whoever waited for them would wait for ever.
    """
    taker = _takers.setdefault("first", os.getpid())
    if taker != os.getpid():
        raise UsageError(
            f"strategies must be run in a process that was not forked from one that has run some (process {taker}): "
            "use the spawn start method, as in multiprocessing.get_context('spawn')"
        )
    for ahead in _ahead:
        if started := ahead.take((level, limits, needs_cuda)):
            return started
    return start(level, limits, output, needs_cuda=needs_cuda)
