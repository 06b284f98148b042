"""The progress of a sweep's cells, in one line: they may have dozens of settings, and train hundreds at a time."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from vecparity.errors import visible
from vecparity.evaluation.callbacks import Asked, Follower
from vecparity.evaluation.result import Evaluation
from vecparity.progress.table import duration
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run

# Minimum time between two updates of a notebook, which travel from the kernel to the browser.
_SECONDS_BETWEEN_UPDATES = 0.25


class CellProgress(Follower):
    """Counts the cells that are done, and follows the ensemble that trains. A `Follower`.

    Args:
        num_cells: The number of all cells.
        clock: Returns the time in seconds.
    """

    def __init__(self, num_cells: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._num_cells = num_cells
        self._clock = clock
        self._began = clock()
        self._num_done = 0
        self._stage = "waiting"
        self._config: TaskConfig | None = None
        self._num_runs = 0
        self._share = 0.0

    def add_cell(self) -> None:
        """Counts a cell as done."""
        self._num_done += 1
        self._num_runs = 0
        self.changed()

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._config, self._num_runs, self._share = config, 0, 0.0
        self._stage = "preparing"
        self.changed()

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        self._stage = f"asking {visible(str(asked))}"
        self.changed()

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        self._num_runs = len(runs)
        self._stage = f"{self._num_runs} runs begin"
        self.changed()

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        assert self._config is not None
        self._share = closed.step / self._config.max_steps
        num_live = sum(run < self._num_runs for run in closed.live)
        self._stage = f"step {closed.step:,} of {self._config.max_steps:,}, {num_live} of {self._num_runs} runs live"
        self.changed()

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        self._stage = "done"
        self.changed()

    def changed(self) -> None:
        """Called whenever the line is another."""

    @property
    def in_words(self) -> str:
        """The line: cells done, the ensemble in progress, and the time."""
        words = f"{self._num_done:,} of {self._num_cells:,} cells done"
        if self._config is not None and self._num_done < self._num_cells:
            words += f"; {self._config.label}, width {self._config.hidden_width}: {self._stage}"
        elapsed = self._clock() - self._began
        words += f"; {duration(elapsed)}"
        if (share := self._share_of_all) and share < 1:
            words += f", about {duration(elapsed * (1 - share) / share)} left"
        return words

    @property
    def _share_of_all(self) -> float:
        """The share of the work that is done, if all cells take equally long."""
        in_progress = self._num_runs / self._config.num_runs * self._share if self._config else 0.0
        return (self._num_done + in_progress) / self._num_cells


class NotebookCells(CellProgress):
    """Shows the line under the cell of a notebook. A `Follower`."""

    def __init__(self, num_cells: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(num_cells, clock)
        self._handle: Any = None
        self._updated_at = 0.0

    def changed(self) -> None:
        """Updates the line, if it is due."""
        from IPython.display import Pretty, display  # not a dependency: it is there where there is a notebook

        now = self._clock()
        is_over = self._num_done == self._num_cells
        if self._handle is None:
            self._handle = display(Pretty(self.in_words), display_id=True)
        elif is_over or now - self._updated_at >= _SECONDS_BETWEEN_UPDATES:
            self._handle.update(Pretty(self.in_words))
        else:
            return
        self._updated_at = now
