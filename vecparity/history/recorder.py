"""What a command records in the history as it goes, and what it takes from there instead of evaluating."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.result import Evaluation, Provenance
from vecparity.history.fingerprint import fingerprint
from vecparity.history.store import Entry, History
from vecparity.sandbox.levels import LEVELS
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig


class Recorder:
    """A history as one command uses it: all that it records belongs together.

    Args:
        history: Where, or None where nothing is recorded.
        reuse: Whether what is recorded is taken from there.
        goes_on: Whether the command goes on from checkpoints: what it has recorded before it does not record again.
    """

    def __init__(self, history: History | None, *, reuse: bool = False, goes_on: bool = False) -> None:
        self._history = history
        self._reuse = reuse
        self._goes_on = goes_on
        self._command = uuid4().hex
        self._entries: dict[int, Entry] = {}

    def recall(self, config: TaskConfig, provenance: Provenance) -> Evaluation | None:
        """Returns the newest evaluation that another would repeat, contained at least as strongly, if one is recorded.

        Args:
            config: The settings.
            provenance: What would be that of the other, but for the time.
        """
        if not self._reuse or self._history is None:
            return None
        for recorded in self._history.same(fingerprint(config, provenance)):
            theirs = recorded.evaluation.provenance
            if LEVELS.index(theirs.containment) <= LEVELS.index(provenance.containment):
                # The same source may have another name today.
                named = replace(theirs, strategy=provenance.strategy)
                evaluation = replace(recorded.evaluation, provenance=named)
                self._entries[id(evaluation)] = recorded.entry
                return evaluation
        return None

    def record(self, evaluations: Sequence[Evaluation], jobs: Sequence[tuple[Strategy, int]]) -> list[str]:
        """Records those that were not recalled.

        Args:
            evaluations: One for each job.
            jobs: Strategies with their seeds.

        Returns:
            How all of them are found again, in sentences.

        Raises:
            MachineError: One could not be recorded.
        """
        if self._history is None:
            return []
        ids = []
        sentences = []
        for evaluation, (strategy, _) in zip(evaluations, jobs, strict=True):
            if entry := self._entries.get(id(evaluation)):
                whose = f"{entry.label} of {entry.strategy} with seed {entry.seed}"
                sentences.append(f"{whose} is answered from evaluation {entry.id}, recorded {entry.recorded_at}")
            elif earlier := self._recorded_before(evaluation):
                self._command = earlier.command
                sentences.append(f"recorded before as {earlier.id}")
            else:
                ids.append(self._history.add(evaluation, strategy, self._command))
        return [*sentences, *([f"recorded as {', '.join(map(str, ids))}"] if ids else [])]

    def _recorded_before(self, evaluation: Evaluation) -> Entry | None:
        """The same evaluation with the same results, where one may have been recorded before an interruption."""
        if not self._goes_on or self._history is None:
            return None
        same = self._history.same(fingerprint(evaluation.config, evaluation.provenance))
        return next((found.entry for found in same if found.evaluation.results == evaluation.results), None)


@contextmanager
def recorder(
    path: Path | None,
    *,
    enabled: bool = True,
    reuse: bool = False,
    goes_on: bool = False,
    warn: Callable[[str], None] = warnings.warn,
) -> Iterator[Recorder]:
    """Opens the history for a command. If the default one cannot be opened, warns and goes on without it.

    Args:
        path: The file that was asked for, or None for the default.
        enabled: Whether to use any.
        reuse: See `Recorder`.
        goes_on: See `Recorder`.
        warn: Takes the warning.

    Raises:
        UsageError: The file that was asked for is no history, or a newer version's.
        MachineError: It is damaged or cannot be written.
    """
    try:
        history = History(path, create=True) if enabled else None
    except (UsageError, MachineError) as error:
        if path is not None:
            raise
        warn(f"nothing is recorded: {error}")
        history = None
    with history or nullcontext():
        yield Recorder(history, reuse=reuse, goes_on=goes_on)
