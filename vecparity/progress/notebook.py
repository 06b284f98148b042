"""The progress of evaluations in a notebook: one display, which is updated in place."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import rich

from vecparity.evaluation.callbacks import Asked, Follower
from vecparity.evaluation.result import Evaluation
from vecparity.progress.table import ProgressTable
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run

# Minimum time between two updates, which travel from the kernel to the browser.
_SECONDS_BETWEEN_UPDATES = 0.25


def is_notebook() -> bool:
    """Returns True in the kernel of a notebook, which can update what it has displayed."""
    return "IPython" in sys.modules and rich.get_console().is_jupyter


class UpdatedDisplay:
    """One display under a cell, which is updated in place, and not more often than a browser can follow.

    Args:
        draw: Returns what is to be displayed now.
        clock: Returns the time in seconds.
    """

    def __init__(self, draw: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._draw, self._clock = draw, clock
        self._handle: Any = None
        self._updated_at = 0.0

    def update(self, *, always: bool = False) -> None:
        """Displays what there is now, if it is due, or always."""
        from IPython.display import display  # not a dependency: it is there where there is a notebook

        now = self._clock()
        if self._handle is None:
            self._handle = display(self._draw(), display_id=True)
        elif always or now - self._updated_at >= _SECONDS_BETWEEN_UPDATES:
            self._handle.update(self._draw())
        else:
            return
        self._updated_at = now


class NotebookProgress(Follower):
    """Displays a `ProgressTable` under the cell. A `Follower`.

    Rich's own live display needs ipywidgets; IPython's displays can be updated without.

    Args:
        configs: All configurations, in the order in which they will begin.
    """

    def __init__(self, configs: Sequence[TaskConfig]) -> None:
        self._table = ProgressTable(configs, disable=True)  # it is displayed here, not by rich
        self._display = UpdatedDisplay(lambda: self._table, self._table.get_time)

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._table.begin(config)
        self._display.update(always=True)

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        self._table.asked(asked)
        self._display.update()

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        self._table.prepared(runs, engine)
        self._display.update(always=True)

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        self._table.window(closed)
        self._display.update()

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        self._table.finish(evaluations)
        self._display.update(always=True)
