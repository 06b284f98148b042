"""A running command's progress on standard error: live on a terminal, else one line a minute."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from threading import Event, Thread
from types import TracebackType
from typing import IO, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vecparity.cli.live_table import duration, live_table
from vecparity.cli.messages import fail_to_print, say
from vecparity.cli.progress_table import Headway
from vecparity.cli.standard_streams import Lossy
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run

_SECONDS_BETWEEN_LINES = 60.0


class Display:
    """Shows the configurations' progress, and writes metric lines to standard output without disturbing the display.

    A `Follower`. A failure to show or write something does not end the command.

    Args:
        enabled: True for a live display, False for none; by default live on a terminal, else in lines.
        configs: All configurations, in the order in which they will begin.
        clock: Returns the time in seconds.

    Attributes:
        status: The exit status of a failure to write to standard output, or 0.
    """

    def __init__(
        self, enabled: bool | None, configs: Sequence[TaskConfig], clock: Callable[[], float] = time.monotonic
    ) -> None:
        # Names are plain text: brackets and colons in them are no markup.
        self._console = Console(
            file=cast(IO[str], Lossy(sys.stderr)),
            force_terminal=True if enabled else None,
            markup=False,
            emoji=False,
            highlight=False,
        )
        is_terminal = sys.stderr.isatty() and not self._console.is_dumb_terminal
        self.is_live = is_terminal if enabled is None else enabled
        self._has_lines = enabled is None and not self.is_live
        self.status = 0
        self._clock = clock
        self._headways = [Headway(config.label, config.max_steps) for config in configs]
        self._waiting = iter(self._headways)
        self._now = self._headways[0]
        self._is_over = Event()
        self._speaker = Thread(target=self._say_each_minute, daemon=True)
        self._live = Live(
            get_renderable=lambda: live_table(self._headways, clock()),
            console=self._console,
            refresh_per_second=4,
            redirect_stdout=False,
        )

    def __enter__(self) -> "Display":
        if self.is_live:
            self._live.start()
        if self._has_lines:
            self._speaker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._has_lines:
            self._is_over.set()
            self._speaker.join()

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._now = next(self._waiting)
        self._now.begin(self._clock())

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        self._now.begin_training(len(runs), self._clock())

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        self._now.window(closed, self._clock())

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        self._now.finish(self._clock())

    def write(self, lines: Iterable[str]) -> None:
        """Writes lines to standard output; above the display if both are on a terminal."""
        text = "".join(f"{line}\n" for line in lines)
        if self.is_live and sys.stderr.isatty() and sys.stdout.isatty():
            self._console.print(Text(text), soft_wrap=True, end="")
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            self.status = fail_to_print(error)

    def show(self, table: Table) -> None:
        """Shows a table if the display is live."""
        if self.is_live:
            self._console.print(table)

    def _say_each_minute(self) -> None:
        while not self._is_over.wait(_SECONDS_BETWEEN_LINES):
            if self._now.stage in ("preparing", "training"):
                say(_in_words(self._now, self._clock()))


def _in_words(headway: Headway, now: float) -> str:
    if headway.stage == "preparing":
        return f"{headway.label}: asking the strategy for networks and data"
    words = [
        f"step {headway.step:,} of {headway.max_steps:,}",
        f"{headway.num_live} of {headway.num_runs} runs live",
    ]
    if headway.accuracy:
        words.append(f"accuracy {headway.accuracy[-1]:.3f}")
    left = headway.seconds_left(now)
    if left is not None:
        words.append(f"at most {duration(left)} left")
    return f"{headway.label}: {', '.join(words)}"
