"""The progress of evaluations in a notebook: one display, which is updated in place."""

import sys
from collections.abc import Sequence
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


class NotebookProgress(Follower):
    """Displays a `ProgressTable` under the cell. A `Follower`.

    Rich's own live display needs ipywidgets; IPython's displays can be updated without.

    Args:
        configs: All configurations, in the order in which they will begin.
    """

    def __init__(self, configs: Sequence[TaskConfig]) -> None:
        self._table = ProgressTable(configs, disable=True)  # it is displayed here, not by rich
        self._handle: Any = None
        self._updated_at = 0.0

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._table.begin(config)
        self._show()

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        self._table.asked(asked)
        self._show_if_due()

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        self._table.prepared(runs, engine)
        self._show()

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        self._table.window(closed)
        self._show_if_due()

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        self._table.finish(evaluations)
        self._show()

    def _show_if_due(self) -> None:
        if self._table.get_time() - self._updated_at >= _SECONDS_BETWEEN_UPDATES:
            self._show()

    def _show(self) -> None:
        from IPython.display import display  # not a dependency: it is there where there is a notebook

        if self._handle is None:
            self._handle = display(self._table, display_id=True)
        else:
            self._handle.update(self._table)
        self._updated_at = self._table.get_time()
