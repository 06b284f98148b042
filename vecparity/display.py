"""The live display of a running evaluation, on standard error."""

import sys
import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from vecparity.train import WindowClosed


class Display:
    """Shows how far the configurations are, and writes metric lines to standard output without disturbing that.

    Args:
        enabled: Whether to show anything; by default where standard error is a terminal.
    """

    def __init__(self, enabled: bool | None) -> None:
        self._console = Console(stderr=True, force_terminal=True if enabled else None)
        self.enabled = self._console.is_terminal if enabled is None else enabled
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("step {task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[state]}"),
            TextColumn("at most"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            redirect_stdout=False,
            redirect_stderr=self.enabled,
            disable=not self.enabled,
        )
        self._task = TaskID(0)
        self._run_steps = 0
        self._began = 0.0
        self._step = 0
        self._engine = ""

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, label: str, max_steps: int) -> None:
        """Announces the next configuration, whose strategies are asked for data and networks first."""
        self._task = self._progress.add_task(label, total=max_steps, state="preparing")
        self._run_steps, self._step = 0, 0

    def begin_training(self, engine: str) -> None:
        self._progress.update(self._task, state=f"{engine} begins")
        self._engine = engine
        self._began = time.perf_counter()

    def window(self, closed: WindowClosed) -> None:
        # Engines that take one run after the other begin anew with each.
        before = self._step if closed.step > self._step else 0
        self._run_steps += len(closed.runs) * (closed.step - before)
        self._step = closed.step
        rate = self._run_steps / (time.perf_counter() - self._began)
        accuracy = sum(closed.accuracy) / max(1, len(closed.accuracy))
        state = f"{self._engine}: {closed.num_live} live, accuracy {accuracy:.3f}, {rate:,.0f} run-steps/s"
        self._progress.update(self._task, completed=closed.step, state=state)

    def finish(self) -> None:
        self._progress.update(self._task, total=self._step)

    def write(self, lines: Iterable[str]) -> None:
        """Writes lines to standard output; above the display where both are on one terminal."""
        text = "".join(f"{line}\n" for line in lines)
        if self.enabled and sys.stdout.isatty():
            self._console.print(Text(text), soft_wrap=True, end="")
        else:
            sys.stdout.write(text)
            sys.stdout.flush()

    def show(self, table: Table) -> None:
        if self.enabled:
            self._console.print(table)
