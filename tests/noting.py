"""A follower that records its calls."""

from collections.abc import Sequence

from vecparity import Evaluation, TaskConfig
from vecparity.evaluation.callbacks import Asked
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run


class Noting:
    """Follows evaluations, and notes what it is told, each thing once in succession.

    Attributes:
        told: What, in words.
        windows: All that closed.
        asked_for: What strategies were asked for.
    """

    def __init__(self, told: list[str] | None = None) -> None:
        self.told = [] if told is None else told
        self.windows: list[WindowClosed] = []
        self.asked_for: list[Asked] = []

    def __enter__(self) -> "Noting":
        return self

    def __exit__(self, *error: object) -> None: ...

    def _note(self, words: str) -> None:
        if self.told[-1:] != [words]:
            self.told.append(words)

    def begin(self, config: TaskConfig) -> None:
        self._note(f"begin {config.label}")

    def asked(self, asked: Asked) -> None:
        self.asked_for.append(asked)

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        self._note(f"{len(runs)} prepared")

    def window(self, closed: WindowClosed) -> None:
        self.windows.append(closed)
        self._note("windows close")

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        self._note(f"{len(evaluations)} finished")
