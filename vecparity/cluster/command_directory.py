"""The directory of a command whose jobs are evaluated by workers with checkpoints.

It has a directory of checkpoints for each job, and a file from which the same command goes on after its end: the
command's id in the history, under which its evaluations are recorded, and the draws of sealed jobs.
"""

import json
import shutil
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Annotated
from uuid import uuid4

import msgspec

from vecparity import machine
from vecparity.errors import MachineError, UsageError, brief, visible
from vecparity.evaluation.job import Task
from vecparity.evaluation.options import Options
from vecparity.files import read_whole, write_whole
from vecparity.task.seeds import SealedSeeds
from vecparity.training.checkpoints.lock import Lock

_FILE = "command.json"
_FORMAT = 1
_MOST_BYTES = 64 << 20


class _Beginning(msgspec.Struct):
    """The content of the file: what was drawn when the command began."""

    format: int
    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    draws: list[str | None]


class CommandDirectory:
    """The directory of one command, locked within a ``with`` block.

    Its name is made of everything that decides the outcomes, so that any number of commands may share what it is in.

    Args:
        tasks: The command's tasks.
        options: The options, with ``checkpoint``. With ``resume``, goes on with the command of the directory; without
            it, what is there is replaced, with a warning.

    Attributes:
        path: The directory.
        tasks: The tasks; sealed ones have the draws with which the command began.
        command: The command's id in the history.
        is_resumed: True if the command goes on.

    Raises:
        UsageError: Another process has the directory, or its file cannot be used.
        MachineError: The directory cannot be written.
    """

    def __init__(self, tasks: Sequence[Task], options: Options) -> None:
        assert options.checkpoint is not None
        self._parent = options.checkpoint.absolute()
        self.path = self._parent / f"command-{_digest(tasks, options)[:16]}"
        self._lock = Lock(self.path / "lock")
        self._is_needed = False
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._begin(tasks, options)
        except OSError as error:
            self._lock.release()
            raise MachineError(f"checkpoint must be a directory that can be written, got {error}") from error
        except UsageError:
            self._lock.release()
            raise

    def __enter__(self) -> "CommandDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_needed and self._lock.is_held():  # once removed, it may be another process's
            self.remove()
        self._lock.release()
        with suppress(OSError):
            self._parent.rmdir()

    @property
    def is_needed(self) -> bool:
        """True if there is anything to go on from."""
        return self._is_needed or any(path.is_dir() for path in self.path.glob("*"))

    def place(self, task: Task) -> Path:
        """Returns the directory for the checkpoints of a task, which workers of another beginning do not have."""
        return self.path / f"{self.command[:8]}-{task.index:06d}"

    def unlock(self, task: Task) -> None:
        """Lets another worker go on from a task's checkpoint, where the lock of a dead one may still be held.

        A worker that is not dead after all keeps no more checkpoints: it sees that its lock has no name.
        """
        for path in self.place(task).glob("*.lock"):
            path.unlink(missing_ok=True)

    def forget(self, tasks: Sequence[Task]) -> None:
        """Removes the checkpoints of tasks whose outcomes are safe."""
        self._is_needed = True  # to know of the outcomes
        for task in tasks:
            shutil.rmtree(self.place(task), ignore_errors=True)

    def remove(self) -> None:
        """Removes the directory; call once all outcomes are safe."""
        self._is_needed = False
        # Workers that may still write do not find the directory under another name.
        removed = self.path.with_name(f"{self.path.name}.removed")
        with suppress(OSError):
            shutil.rmtree(removed, ignore_errors=True)
            self.path.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def _begin(self, tasks: Sequence[Task], options: Options) -> None:
        """Reads the file of a command to go on with, or writes it."""
        exists = (self.path / _FILE).exists()
        self.is_resumed = exists and options.resume
        if exists and not options.resume:
            warnings.warn(
                f"the evaluations start from the beginning and replace the checkpoints in {visible(str(self.path))}, "
                "from which resume=True (--resume) would have gone on",
                stacklevel=2,
            )
        if self.is_resumed:
            beginning = self._read(len(tasks))
            self._is_needed = True
        else:
            for path in self.path.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)  # workers of a killed command may still write there
            beginning = _Beginning(_FORMAT, uuid4().hex, [task.seeds.draw for task in tasks])
            write_whole(self.path / _FILE, msgspec.json.encode(beginning))
        self.command = beginning.id
        self.tasks = [
            _with_draw(task, draw, options.seal_key) for task, draw in zip(tasks, beginning.draws, strict=True)
        ]
        for task in self.tasks if self.is_resumed else []:
            self.unlock(task)  # workers of a command that was killed may take a while to end

    def _read(self, count: int) -> _Beginning:
        path = self.path / _FILE
        try:
            beginning = msgspec.json.decode(read_whole(path, _MOST_BYTES), type=_Beginning)
            if (beginning.format, len(beginning.draws)) != (_FORMAT, count):
                raise ValueError(f"{len(beginning.draws)} draws in format {beginning.format}")
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"expected {count} draws in format {_FORMAT} in {path}, got {brief(str(error))}: without resume=True "
                "(--resume) the evaluations start from the beginning"
            ) from error
        return beginning


def require_seen(checkpoint: Path) -> None:
    """Checks that a worker sees the directory of the command that has these checkpoints.

    Raises:
        MachineError: It does not.
    """
    if not (checkpoint.parent / _FILE).exists():
        raise MachineError(
            f"checkpoint must be a directory that all workers see, but {machine.host()} has no {checkpoint.parent}"
        )


def _with_draw(task: Task, draw: str | None, key: bytes | None) -> Task:
    return task if key is None else replace(task, seeds=SealedSeeds(key, task.seeds.seed, draw))


def _digest(tasks: Sequence[Task], options: Options) -> str:
    """Digests everything that decides the outcomes, but for draws that each evaluation has of its own."""
    common = {
        "draw": "own" if options.has_own_draws else options.draw,
        "dtype": str(options.dtype),
        "versions": machine.versions(),
    }
    for name in ("engine", "device", "init_device", "chunk_runs", "containment", "require_containment"):
        common[name] = getattr(options, name)
    jobs = [
        {
            "index": task.index,
            "strategy": task.strategy.sha256,
            "params": task.parameters.values,
            "seed": task.seeds.seed,
            "seal": task.seeds.seal,
            "audit": task.audit,
            "protocol": task.protocol,
            **asdict(task.config),
        }
        for task in tasks
    ]
    return sha256(json.dumps([common, jobs], sort_keys=True).encode()).hexdigest()
