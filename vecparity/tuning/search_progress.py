"""The progress of a search: its best trials, how many there are, and what is trained."""

import time
from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.jupyter import JupyterMixin
from rich.table import Table
from rich.text import Text

from vecparity.errors import visible
from vecparity.progress.ensemble import EnsembleProgress
from vecparity.progress.notebook import UpdatedDisplay
from vecparity.progress.table import duration
from vecparity.tuning.following import SearchFollower
from vecparity.tuning.results import Search, Trial, best_first, trials_in_words
from vecparity.tuning.value_axes import in_short

_MOST_SHOWN = 8


class SearchProgress(EnsembleProgress, SearchFollower):
    """Keeps a search's trials, and says how far it is.

    Args:
        title: A line above the table: what is searched.
        clock: Returns the time in seconds.

    Attributes:
        trials: All finished trials.
        found: The search, once all trials are made.
    """

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._title, self._clock = title, clock
        self._began = clock()
        self._at_first = 0
        self._of: int | None = None
        self._num_anew = 0
        self.trials: list[Trial] = []
        self.found: Search | None = None

    def batch(self, number: int, of: int) -> None:
        """See `SearchFollower`."""
        if self._of is None:
            self._at_first = number
        self._of = of
        self.changed()

    def told(self, trial: Trial) -> None:
        """See `SearchFollower`."""
        self.trials.append(trial)
        self.changed()

    def rescoring(self, found: Search, count: int) -> None:
        """See `SearchFollower`."""
        self._of, self._num_anew, self.found = None, count, found
        self.changed()

    @property
    def in_words(self) -> str:
        """One line: the trials, the best of them, and what is trained."""
        best = self._best()
        words = f", the best so far {_trial_in_words(best[0])}" if best else ""
        return f"{self._count()}{words}{f'; {self._present}' if self._present else ''}"

    @property
    def _present(self) -> str:
        return self.by_workers or (f"{self.config.label}: {self.stage}" if self.config is not None else "")

    def __rich__(self) -> RenderableType:
        """Draws the best trials as a table, and says what is trained."""
        table = Table(box=None, pad_edge=False)
        for name in ("trial", "accuracy", "steps"):
            table.add_column(name, justify="right")
        table.add_column("values", no_wrap=True, overflow="ellipsis")
        for trial in self._best():
            figures = f"{trial.accuracy:.6f}", f"{trial.mean_steps:,.0f}"
            values = " ".join(f"{name}={in_short(value)}" for name, value in trial.params.items())
            table.add_row(str(trial.number), *figures, values)
        rows = [table] if self.trials else []
        lines = [Text(visible(words), no_wrap=True, overflow="ellipsis") for words in (self._count(), self._present)]
        return Group(Text(visible(self._title), no_wrap=True, overflow="ellipsis"), *rows, *lines)

    def _best(self) -> list[Trial]:
        return best_first(trial for trial in self.trials if trial.state == "complete")[:_MOST_SHOWN]

    def _count(self) -> str:
        of, done, passed = self._of, len(self.trials), self._clock() - self._began
        words = trials_in_words(self.trials)
        if of is not None:
            words = f"{words}, of {of:,}"
        words += f"; the best {self._num_anew} are evaluated anew" if self._num_anew else ""
        words += f"; {duration(passed)}"
        if of is not None and (made := done - self._at_first) > 0:
            words += f", about {duration(passed / made * (of - done))} left"
        return words


class NotebookSearch(SearchProgress):
    """Shows the table under the cell of a notebook."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self._display = UpdatedDisplay(lambda: _Shown(self.__rich__()))

    def changed(self) -> None:
        """Updates the table, if it is due."""
        self._display.update()


class _Shown(JupyterMixin):
    """Shows in a notebook what rich draws."""

    def __init__(self, drawn: RenderableType) -> None:
        self._drawn = drawn

    def __rich__(self) -> RenderableType:
        return self._drawn


def _trial_in_words(trial: Trial) -> str:
    return f"trial {trial.number}: accuracy {trial.accuracy:.6f}, {trial.mean_steps:,.0f} steps"
