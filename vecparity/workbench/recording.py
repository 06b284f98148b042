"""What a command records in the history as it goes, and what it takes from there instead of evaluating."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from vecparity.containment.levels import LEVELS
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation import Evaluation, Provenance
from vecparity.repetition import repetition
from vecparity.saying import say
from vecparity.spec import TaskConfig
from vecparity.strategy import Strategy
from vecparity.workbench.history import Entry, History


class Recorder:
    """The history as one command uses it.

    A history that nobody named and that cannot be used is done without, with a word.

    Args:
        path: The file that was asked for, or None for the default.
        enabled: Whether to use any.
        reuse: Whether what is recorded is taken from there.
        goes_on: Whether the command goes on from checkpoints: what it has recorded before it does not record again.

    Raises:
        UsageError: The file that was asked for is no history, or a newer version's.
        MachineError: It is damaged or cannot be written.
    """

    def __init__(self, path: Path | None, *, enabled: bool = True, reuse: bool = False, goes_on: bool = False) -> None:
        self._reuse = reuse
        self._goes_on = goes_on
        self._command = uuid4().hex
        self._entries: dict[int, Entry] = {}
        self._history: History | None = None
        if not enabled:
            return
        try:
            self._history = History(path, create=True)
        except (UsageError, MachineError) as error:
            if path is not None:
                raise
            say(f"warning: nothing is recorded: {error}")

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._history is not None:
            self._history.close()

    def recall(self, config: TaskConfig, provenance: Provenance) -> Evaluation | None:
        """Returns the newest evaluation that another would repeat, contained at least as strongly, if one is recorded.

        Args:
            config: The settings.
            provenance: What would be that of the other, but for the time.
        """
        if not self._reuse or self._history is None:
            return None
        for recorded in self._history.same(repetition(config, provenance)):
            theirs = recorded.evaluation.provenance
            if LEVELS.index(theirs.containment) <= LEVELS.index(provenance.containment):
                # The same source may have another name today.
                named = replace(theirs, strategy=provenance.strategy)
                evaluation = replace(recorded.evaluation, provenance=named)
                self._entries[id(evaluation)] = recorded.entry
                return evaluation
        return None

    def record(self, evaluations: Sequence[tuple[Evaluation, Strategy]]) -> None:
        """Records those that were not recalled, and says how all of them are found again.

        Raises:
            MachineError: One could not be recorded.
        """
        if self._history is None:
            return
        ids = []
        for evaluation, strategy in evaluations:
            if entry := self._entries.get(id(evaluation)):
                whose = f"{entry.label} of {entry.strategy} with seed {entry.seed}"
                say(f"{whose} is answered from evaluation {entry.id}, recorded {entry.recorded_at}")
            elif earlier := self._recorded_before(evaluation):
                self._command = earlier.command
                say(f"recorded before as {earlier.id}")
            else:
                ids.append(self._history.add(evaluation, strategy, self._command))
        if ids:
            say(f"recorded as {', '.join(map(str, ids))}")

    def _recorded_before(self, evaluation: Evaluation) -> Entry | None:
        """The same evaluation with the same results, where one may have been recorded before an interruption."""
        if not self._goes_on or self._history is None:
            return None
        same = self._history.same(repetition(evaluation.config, evaluation.provenance))
        return next((found.entry for found in same if found.evaluation.results == evaluation.results), None)
