"""A running command's progress on standard error: live on a terminal, else one line a minute."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import IO, cast

from rich.console import RenderableType
from rich.progress import Task
from rich.text import Text

from vecparity.cli.each_minute import EachMinute
from vecparity.cli.messages import fail_to_print
from vecparity.cli.output import PlainConsole, plain_text
from vecparity.cli.standard_streams import Lossy
from vecparity.progress.table import ProgressTable, duration, seconds_left, stage
from vecparity.task.config import TaskConfig


class Display(ProgressTable):
    """Shows the configurations' progress, and writes metric lines to standard output without disturbing the display.

    A `Follower`. A failure to show or write something does not end the command.

    Args:
        enabled: True for a live display, False for none; by default live on a terminal, else in lines.
        configs: All configurations, in the order in which they will begin.
        title: A line above the live table: what is evaluated.
        clock: Returns the time in seconds.

    Attributes:
        is_live: True if the table is shown.
        status: The exit status of a failure to write to standard output, or 0.
    """

    def __init__(
        self,
        enabled: bool | None,
        configs: Sequence[TaskConfig],
        title: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        console = PlainConsole(file=cast(IO[str], Lossy(sys.stderr)), force_terminal=True if enabled else None)
        is_terminal = sys.stderr.isatty() and not console.is_dumb_terminal
        self.is_live = is_terminal if enabled is None else enabled
        super().__init__(
            configs,
            title,
            console=console,
            get_time=clock,
            disable=not self.is_live,
            refresh_per_second=4,
            redirect_stdout=False,
        )
        self.status = 0
        self._lines = EachMinute(self._line) if enabled is None and not self.is_live else None

    def start(self) -> None:
        """Starts the live table, or the lines."""
        super().start()
        if self._lines:
            self._lines.start()

    def stop(self) -> None:
        """Stops the live table, or the lines."""
        super().stop()
        if self._lines:
            self._lines.stop()

    def write(self, lines: Iterable[str]) -> None:
        """Writes lines to standard output; above the display if both are on a terminal."""
        text = "".join(f"{line}\n" for line in lines)
        if self.is_live and sys.stderr.isatty() and sys.stdout.isatty():
            self.console.print(Text(text), soft_wrap=True, end="")
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            self.status = fail_to_print(error)

    def show(self, table: RenderableType, *, always: bool = False) -> None:
        """Shows a table if the display is live or it is shown always, on a terminal or not."""
        if self.is_live:
            self.console.print(table)
        elif always:
            Lossy(sys.stderr).write(plain_text(table))

    def _line(self) -> str | None:
        if self.by_workers:
            return self.by_workers
        return _in_words(self.current) if stage(self.current) in ("preparing", "training") else None


def _in_words(task: Task) -> str:
    if stage(task) == "preparing":
        return f"{task.description}: asking {task.fields.get('asked', 'the strategy for networks and data')}"
    words = "{step:,} of {max_steps:,}, {num_live} of {num_runs} runs live"
    if task.fields["curve"]:
        words += ", accuracy {accuracy:.3f}"
    if (left := seconds_left(task)) is not None:
        words += f", stops at the earliest in {duration(left)}"
    return f"{task.description}: step {words.format(**task.fields)}"
