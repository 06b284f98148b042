"""Checkpoints, from which a killed training resumes.

A directory holds the checkpoints of one or more trainings, each under a name derived from its identity. The files are
the runs (``NAME.runs``), saved once, so that resuming neither calls a strategy nor draws anything again; the state
(``NAME.state-000007``), a new generation at a fixed interval, of which the last two remain; and a lock
(``NAME.lock``), held by the training process. Trainings that differ in anything never touch each other's files.
"""

import json
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from vecparity.errors import MachineError, UsageError, visible
from vecparity.training.checkpoints import checkpoint_file, snapshot
from vecparity.training.checkpoints.checkpoint_file import CheckpointRefusedError
from vecparity.training.checkpoints.lock import Lock
from vecparity.training.checkpoints.snapshot import Snapshot
from vecparity.training.checkpoints.snapshot_coherence import Training
from vecparity.training.runs import Run

# The most differences from another training to name in a message.
_MOST_NAMED = 3


class Checkpoints:
    """The checkpoints of one training, locked until `close`. Call `begin` or `resume`, then pass it to `loop.train`.

    Args:
        directory: The directory, created if missing. Other trainings may have checkpoints in it as well.
        label: The beginning of the name: letters, digits, ``-`` and ``_``.
        identity: Everything that must be equal for the training to resume (strategies' hashes, seeds, settings, engine,
            dtype and so on), as JSON values; its SHA-256 is the rest of the name. The package's version is always
            compared.
        seconds: The minimum time between two generations, finite and not negative; 0 saves one after every piece of a
            window.
        at_once: Whether to save the runs when training begins and the state when it ends. Otherwise nothing is written
            before a state is due, or a stop is requested: a short training leaves the disk alone.

    Attributes:
        name: The name that the files begin with.
        state: The state that `resume` found; None at the first step.
        notes: The caller's data saved with the runs, as JSON values.
        kept_step: The step of the newest saved state, or None.

    Raises:
        UsageError: Another process holds the lock.
        MachineError: The directory cannot be made or written.
    """

    def __init__(
        self, directory: Path, label: str, identity: Mapping[str, Any], seconds: float = 60.0, *, at_once: bool = True
    ) -> None:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", label)
        self._identity = json.loads(json.dumps(identity, allow_nan=False))  # as read back: tuples become lists
        digest = sha256(json.dumps(self._identity, sort_keys=True).encode()).hexdigest()
        self.directory = directory
        self.name = f"{label}-{digest[:16]}"
        self.state: Snapshot | None = None
        self.notes: Any = None
        self.kept_step: int | None = None
        self._seconds, self._at_once = seconds, at_once
        self._saved_at = time.monotonic()
        self._runs: Sequence[Run] = []
        self._runs_digest = ""
        self._whole: list[int] = []  # the generations to keep, ascending
        self._last = 0
        self._has_failed = False
        self._lock = Lock(directory / f"{self.name}.lock")
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except OSError as error:
            raise MachineError(f"checkpoint must be a directory that can be written, got {error}") from error

    def exist(self) -> bool:
        """Tells whether there are checkpoints of this name, usable or not."""
        return any(path.suffix == ".json" for path in self._files())

    def begin(self, runs: Sequence[Run], notes: Any = None) -> None:
        """Starts anew: removes all checkpoints of this name, and saves the runs (at once, or with the first state).

        Args:
            runs: The runs to train.
            notes: Any JSON value, saved and restored as ``notes``.
        """
        self._last = max(self._generations(), default=0)
        self._remove()
        self._runs, self.notes, self._saved_at = runs, notes, time.monotonic()
        if self._at_once:
            self._attempt(self._keep_runs)

    def resume(self, training: Training | None = None) -> list[Run] | None:
        """Finds the newest usable state, and warns of newer states that are unusable.

        Args:
            training: The training that the checkpoint must match; if None, compares only digests and the identity.

        Returns:
            The runs, to train on from ``state``; or None if no runs were saved yet, in which case call `begin`.

        Raises:
            UsageError: Checkpoints exist but none is usable; the message says why.
        """
        if not self.exist():
            return None
        generations, reasons = self._generations(), []
        try:
            saved, self._runs_digest = checkpoint_file.read(self._runs_stem, self._identity)
            if training is not None:
                checkpoint_file.require(self._runs_stem, training.check_runs, saved)
        except CheckpointRefusedError as refused:
            raise self._unusable([str(refused)]) from refused
        for generation in reversed(generations):
            try:
                state, _ = checkpoint_file.read(self._stem(generation), self._state_identity())
                if training is not None:
                    checkpoint_file.require(self._stem(generation), training.check_state, state, saved)
            except CheckpointRefusedError as refused:
                reasons.append(str(refused))
                continue
            self.state = state
            self._whole = [whole for whole in generations if whole <= generation][-2:]
            self.kept_step = self.state.values["step"]
            break
        if generations and self.state is None:
            raise self._unusable(reasons)
        for reason in reasons:
            warnings.warn(
                f"resuming from the checkpoint before the newest, which cannot be used: {visible(reason)}",
                stacklevel=2,
            )
        self._last, self._saved_at = max(generations, default=0), time.monotonic()
        runs = snapshot.to_runs(saved)
        self._runs, self.notes = runs, saved.values["notes"]
        return runs

    def end(self) -> None:
        """Removes all checkpoints of this training; call once its results are safe elsewhere."""
        if self._lock.is_held():
            self._remove()
        self.close()

    def close(self) -> None:
        """Releases the lock, and removes the directory if it is empty; another training's lock keeps it."""
        self._runs, self.state = [], None  # large, and needed no more
        self._lock.release()
        with suppress(OSError):
            self.directory.rmdir()

    def describe_nearest(self) -> str | None:
        """Names the other training in the directory with the fewest differences, and lists these differences."""
        others = []
        for path in sorted(self.directory.glob("*.runs.json")):
            with suppress(CheckpointRefusedError):  # also raised if removed meanwhile
                others.append((checkpoint_file.differences(path, self._identity), path.name.removesuffix(".runs.json")))
        if not others:
            return None
        differences, name = min(others, key=lambda other: len(other[0]))
        more = f" and {len(differences) - _MOST_NAMED} more" if len(differences) > _MOST_NAMED else ""
        return f"{name} ({', '.join(differences[:_MOST_NAMED])}{more})"

    def is_due(self) -> bool:
        """Tells whether it is time to `save`."""
        return time.monotonic() - self._saved_at >= self._seconds

    @property
    def keeps_end(self) -> bool:
        """True if the state at the training's end is to be saved, until its results are safe."""
        return self._at_once or self.kept_step is not None

    def save(self, state: Snapshot) -> None:
        """Saves a state of the training. If writing fails, warns once and tries again at the next save."""
        self._attempt(lambda: self._keep(state))
        self._saved_at = time.monotonic()

    def _keep(self, state: Snapshot) -> None:
        if not (self.directory / f"{self.name}.runs.json").exists():  # saving them failed, or they were removed
            self._keep_runs()
        self._last += 1
        checkpoint_file.write(self._stem(self._last), self._state_identity(), state)
        self._whole = [*self._whole[-1:], self._last]
        self.kept_step = state.values["step"]

    def _keep_runs(self) -> None:
        runs = snapshot.of_runs(self._runs)
        runs_with_notes = replace(runs, values={**runs.values, "notes": self.notes})
        self._runs_digest = checkpoint_file.write(self._runs_stem, self._identity, runs_with_notes)

    def _attempt(self, keep: Callable[[], None]) -> None:
        try:
            self._lock.acquire()  # recreates the lock and the directory if removed
            keep()
            self._has_failed = False
        except (OSError, MemoryError, UsageError) as error:  # a failed save must not end a training
            if not self._has_failed:
                message = f"no checkpoint could be written to {self.directory}, training continues: {error}"
                warnings.warn(visible(message), stacklevel=4)
            self._has_failed = True
        if self._lock.is_held():
            self._sweep()

    def _remove(self) -> None:
        with suppress(OSError):
            # In this order a kill midway leaves either the runs alone or nothing to resume from.
            for path in sorted(self._files(), key=lambda path: (path.suffix, ".runs." in path.name)):
                path.unlink()

    def _sweep(self) -> None:
        """Removes older generations, and files left by failed or killed writes."""
        stems = [self._runs_stem, *map(self._stem, self._whole)]
        keep = {f"{stem.name}.{end}" for stem in stems for end in ("json", "safetensors")}
        with suppress(OSError):  # tried again next time
            for path in self._files():
                if path.name not in keep:
                    path.unlink()

    def _unusable(self, reasons: Sequence[str]) -> UsageError:
        return UsageError(f"no checkpoint of {self.name} in {self.directory} can be used: {'; '.join(reasons)}")

    def _files(self) -> list[Path]:
        pattern = re.compile(rf"{self.name}\.(runs|state-\d+)\.(json|safetensors)(\.(\d+\.)?tmp)?")
        try:
            return [path for path in self.directory.iterdir() if pattern.fullmatch(path.name)]
        except OSError:
            return []

    def _generations(self) -> list[int]:
        pattern = re.compile(rf"{self.name}\.state-(\d+)\.json")
        return sorted(int(match[1]) for path in self._files() if (match := pattern.fullmatch(path.name)))

    @property
    def _runs_stem(self) -> Path:
        return self.directory / f"{self.name}.runs"

    def _stem(self, generation: int) -> Path:
        return self.directory / f"{self.name}.state-{generation:06d}"

    def _state_identity(self) -> dict[str, Any]:
        return {**self._identity, "runs_sha256": self._runs_digest}
