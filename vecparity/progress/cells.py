"""The progress of a sweep's cells, in one line: they may have dozens of settings, and train hundreds at a time."""

import time
from collections.abc import Callable

from vecparity.errors import visible
from vecparity.progress.ensemble import EnsembleProgress
from vecparity.progress.notebook import UpdatedDisplay
from vecparity.progress.table import duration


class CellProgress(EnsembleProgress):
    """Counts the cells that are done, and follows the ensemble that trains. A `Follower`.

    Args:
        num_cells: The number of all cells.
        clock: Returns the time in seconds.
    """

    def __init__(self, num_cells: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._num_cells = num_cells
        self._clock = clock
        self._began = clock()
        self._num_done = 0

    def add_cell(self) -> None:
        """Counts a cell as done."""
        self._num_done += 1
        self.changed()

    @property
    def in_words(self) -> str:
        """The line: cells done, the ensemble in progress, and the time."""
        words = f"{self._num_done:,} of {self._num_cells:,} cells done"
        if self.by_workers:
            words += f"; {self.by_workers}"
        elif self.config is not None and self._num_done < self._num_cells:
            words += f"; {self.config.label}, width {self.config.hidden_width}: {visible(self.stage)}"
        elapsed = self._clock() - self._began
        words += f"; {duration(elapsed)}"
        if (share := self._share_of_all) and share < 1:
            words += f", about {duration(elapsed * (1 - share) / share)} left"
        return words

    @property
    def _share_of_all(self) -> float:
        """The share of the work that is done, if all cells take equally long."""
        in_progress = self.num_runs / self.config.num_runs * self.share if self.config else 0.0
        return (self._num_done + in_progress) / self._num_cells


class NotebookCells(CellProgress):
    """Shows the line under the cell of a notebook. A `Follower`."""

    def __init__(self, num_cells: int, clock: Callable[[], float] = time.monotonic) -> None:
        from IPython.display import Pretty  # not a dependency: it is there where there is a notebook

        super().__init__(num_cells, clock)
        self._display = UpdatedDisplay(lambda: Pretty(self.in_words), clock)

    def changed(self) -> None:
        """Updates the line, if it is due."""
        self._display.update(always=self._num_done == self._num_cells)
