"""The recorder: records a command's evaluations in the history, and recalls known ones instead of evaluating."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.options import Options
from vecparity.evaluation.result import Evaluation, Provenance
from vecparity.history.fingerprint import fingerprint, job_digest
from vecparity.history.records import Entry, Recorded
from vecparity.history.store import History
from vecparity.sandbox.levels import LEVELS
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig


class Recorder:
    """A history as one command uses it; all its records form one group.

    Args:
        history: The history, or None to record nothing.
        reuse: Whether to recall recorded evaluations.
        goes_on: Whether the command resumes from checkpoints; it then does not record an evaluation a second time. Of
            a command that is known by its id, `go_on` knows more.
    """

    def __init__(self, history: History | None, *, reuse: bool = False, goes_on: bool = False) -> None:
        self._history = history
        self._reuse = reuse
        self._goes_on = goes_on
        self._command = uuid4().hex
        self._entries: dict[int, Entry] = {}
        self._earlier: dict[str, list[int]] = {}

    @property
    def is_recording(self) -> bool:
        """True if there is a history."""
        return self._history is not None

    def go_on(self, command: str) -> None:
        """Goes on with a command: recalls its own evaluations, each once, and records the others as its own.

        Args:
            command: The command's id, whether it has recorded anything or not.
        """
        self._command = command
        self._goes_on = False  # by what was recorded before, whatever command that was
        for recorded in self._history.of_command(command) if self._history is not None else ():
            if recorded.entry.has_curves and not recorded.entry.is_imported:
                digest = job_digest(recorded.evaluation.config, recorded.evaluation.provenance)
                self._earlier.setdefault(digest, []).append(recorded.entry.id)

    def recall(self, config: TaskConfig, provenance: Provenance) -> Evaluation | None:
        """Returns the newest whole record with the same fingerprint and equal or stronger containment, or None.

        A command that goes on recalls what it recorded before, wherever that was evaluated.

        Args:
            config: The settings.
            provenance: The provenance that a new evaluation would have, except for the time.
        """
        if self._history is None:
            return None
        if self._earlier and (own := self._earlier.get(job_digest(config, provenance))):
            return self._recalled(self._history.get(own.pop(0)), provenance)
        if not self._reuse:
            return None
        for recorded in self._history.same(fingerprint(config, provenance)):
            earlier = recorded.evaluation.provenance
            if not recorded.entry.has_curves:  # metric lines tell of every window
                continue
            if recorded.entry.is_imported:  # whoever made the file may have made up the results
                continue
            if LEVELS.index(earlier.containment) <= LEVELS.index(provenance.containment):
                return self._recalled(recorded, provenance)
        return None

    def _recalled(self, recorded: Recorded, provenance: Provenance) -> Evaluation:
        # The same source may have another name in this command.
        named = replace(recorded.evaluation.provenance, strategy=provenance.strategy)
        evaluation = replace(recorded.evaluation, provenance=named)
        self._entries[id(evaluation)] = recorded.entry
        return evaluation

    def record(
        self, evaluations: Sequence[Evaluation], jobs: Sequence[tuple[Strategy, int]], note: str | None = None
    ) -> list[str]:
        """Records the evaluations that were not recalled.

        Args:
            evaluations: One for each job.
            jobs: Strategies with their seeds.
            note: A person's words about all of them, see `records.require_note`.

        Returns:
            Sentences that give the ids of all evaluations.

        Raises:
            UsageError: The note is invalid.
            MachineError: An evaluation could not be recorded.
        """
        if self._history is None:
            return []
        ids = []
        reused = []
        sentences = []
        for evaluation, (strategy, _) in zip(evaluations, jobs, strict=True):
            # Removed: a later evaluation may have the same id once this one is gone.
            entry = self._entries.pop(id(evaluation), None)
            if entry and entry.command == self._command:
                sentences.append(f"recorded before as {entry.id}")
            elif entry:
                reused.append(entry.id)
                whose = f"{entry.label} of {entry.strategy} with seed {entry.seed}"
                sentences.append(f"{whose}: reused evaluation {entry.id}, recorded {entry.recorded_at}")
            elif earlier := self._recorded_before(evaluation):
                self._command = earlier.command
                sentences.append(f"recorded before as {earlier.id}")
            else:
                ids.append(self._history.add(evaluation, strategy, self._command, note))
        self.note_reuse(reused)
        return [*sentences, *([f"recorded as {', '.join(map(str, ids))}"] if ids else [])]

    def note_reuse(self, ids: Sequence[int]) -> None:
        """Notes that the command used recorded evaluations, so that they are reported with those it records.

        Raises:
            MachineError: The history could not be written.
        """
        if ids and self._history is not None:
            self._history.note_reuse(self._command, ids)

    def _recorded_before(self, evaluation: Evaluation) -> Entry | None:
        """Returns the entry of the same evaluation and results if it was recorded before an interruption, else None."""
        if not self._goes_on or self._history is None:
            return None
        same = self._history.same(fingerprint(evaluation.config, evaluation.provenance))
        own = (found for found in same if not found.entry.is_imported)
        return next((found.entry for found in own if found.evaluation.results == evaluation.results), None)


def require_reusable(options: Options) -> None:
    """Refuses to take evaluations from a history if no later evaluation repeats an earlier one.

    Raises:
        UsageError: Every evaluation has a draw of its own.
    """
    if options.has_own_draws:
        raise UsageError(
            "reuse needs evaluations that repeat others, got sealed ones with a draw of their own each: give the draw "
            "to repeat (draw), or use the key's common one (same_draw)"
        )


@contextmanager
def recorder(
    path: Path | None,
    *,
    enabled: bool = True,
    reuse: bool = False,
    goes_on: bool = False,
    warn: Callable[[str], None] = warnings.warn,
) -> Iterator[Recorder]:
    """Opens the history for a command. If the default history cannot be opened, warns and goes on without it.

    Args:
        path: The requested file, or None for the default.
        enabled: Whether to use a history.
        reuse: See `Recorder`.
        goes_on: See `Recorder`.
        warn: Receives the warning.

    Raises:
        UsageError: The requested file is not a history, or belongs to a newer version.
        MachineError: The requested file is damaged or cannot be written.
    """
    with opened(path, enabled=enabled, warn=warn) as history:
        yield Recorder(history, reuse=reuse, goes_on=goes_on)


@contextmanager
def opened(
    path: Path | None, *, enabled: bool = True, warn: Callable[[str], None] = warnings.warn
) -> Iterator[History | None]:
    """Opens the history for a command, or None without one; for arguments and errors see `recorder`."""
    try:
        history = History(path, create=True) if enabled else None
    except (UsageError, MachineError) as error:
        if path is not None:
            raise
        warn(f"evaluations are not recorded: {error}")
        history = None
    with history or nullcontext():
        yield history
