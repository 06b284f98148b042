"""A running search's progress on standard error: the best trials and what is trained, live, or in a line a minute."""

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, cast

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vecparity.cli.each_minute import EachMinute
from vecparity.cli.output import PlainConsole
from vecparity.cli.standard_streams import Lossy
from vecparity.errors import visible
from vecparity.evaluation.callbacks import Asked
from vecparity.evaluation.params import param_words
from vecparity.evaluation.result import Evaluation
from vecparity.progress.table import duration
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run
from vecparity.tuning.following import SearchFollower
from vecparity.tuning.results import Trial, best_first

_MOST_SHOWN = 8


class SearchDisplay(SearchFollower):
    """Shows a search's progress within a ``with``.

    Args:
        enabled: True for a live display, False for none; by default live on a terminal, else in lines.
        title: A line above: what is searched.
        clock: Returns the time in seconds.

    Attributes:
        trials: All finished trials.
    """

    def __init__(self, enabled: bool | None, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._title, self._clock = title, clock
        self._began = clock()
        self._at_first = 0
        self._of: int | None = None
        self._num_anew = 0
        self._present = ""
        self.trials: list[Trial] = []
        console = PlainConsole(file=cast(IO[str], Lossy(sys.stderr)), force_terminal=True if enabled else None)
        is_terminal = sys.stderr.isatty() and not console.is_dumb_terminal
        is_live = is_terminal if enabled is None else enabled
        self._live = (
            Live(console=console, get_renderable=self._table, transient=True, redirect_stdout=False)
            if is_live
            else None
        )
        self._lines = EachMinute(self._line) if enabled is None and not is_live else None

    def __enter__(self) -> "SearchDisplay":
        """Starts the display."""
        for each in (self._live, self._lines):
            if each is not None:
                each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the display, and leaves nothing of it."""
        for each in (self._live, self._lines):
            if each is not None:
                each.stop()

    def asking(self, number: int, of: int) -> None:
        """See `SearchFollower`."""
        if self._of is None:
            self._at_first = number
        self._of = of

    def told(self, trial: Trial) -> None:
        """See `SearchFollower`."""
        self.trials.append(trial)

    def rescoring(self, count: int) -> None:
        """See `SearchFollower`."""
        self._of, self._num_anew = None, count

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._config = config
        self._present = f"preparing {config.label}"

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        self._present = f"{self._config.label}: asking {asked}"

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        self._num_runs = len(runs)
        self._present = f"{self._config.label}: {len(runs)} runs begin"

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        self._present = (
            f"{self._config.label}: step {closed.step:,} of {self._config.max_steps:,}, "
            f"{closed.num_live} of {self._num_runs} runs live"
        )

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        self._present = ""

    def _line(self) -> str:
        best = self._best()
        words = f", the best so far {_in_words(best[0])}" if best else ""
        return f"{self._count()}{words}{f'; {self._present}' if self._present else ''}"

    def _table(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        for name in ("trial", "accuracy", "steps"):
            table.add_column(name, justify="right")
        table.add_column("values", no_wrap=True, overflow="ellipsis")
        for trial in self._best():
            figures = f"{trial.accuracy:.6f}", f"{trial.mean_steps:,.0f}"
            table.add_row(str(trial.number), *figures, " ".join(param_words(_short(trial))))
        rows = [table] if self.trials else []
        lines = [Text(visible(words), no_wrap=True, overflow="ellipsis") for words in (self._count(), self._present)]
        return Group(Text(visible(self._title), no_wrap=True, overflow="ellipsis"), *rows, *lines)

    def _best(self) -> list[Trial]:
        return best_first(trial for trial in self.trials if trial.state == "complete")[:_MOST_SHOWN]

    def _count(self) -> str:
        done, passed = len(self.trials), self._clock() - self._began
        others = [
            f"{count} {state}"
            for state in ("dropped", "failed")
            if (count := sum(trial.state == state for trial in self.trials))
        ]
        words = f"{done} trials" if self._of is None else f"{done} of {self._of} trials"
        words += f" ({', '.join(others)})" if others else ""
        words += f"; the best {self._num_anew} are evaluated anew" if self._num_anew else ""
        words += f", elapsed {duration(passed)}"
        if self._of is not None and (made := done - self._at_first) > 0:
            words += f", about {duration(passed / made * (self._of - done))} left"
        return words


def _short(trial: Trial) -> dict[str, bool | int | float | str]:
    """Returns the values with the digits that matter to a reader."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in trial.params.items()}


def _in_words(trial: Trial) -> str:
    return f"trial {trial.number}: accuracy {trial.accuracy:.6f}, {trial.mean_steps:,.0f} steps"
