"""The configurations' progress as a table that fits a terminal."""

from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from vecparity.cli.progress_table import Headway, Stage

_BLOCKS = "▁▂▃▄▅▆▇█"
_CHANCE = 0.5
_STYLES: dict[Stage, str] = {"waiting": "dim", "preparing": "yellow", "training": "cyan", "done": "green"}


def live_table(headways: Sequence[Headway], now: float) -> Table:
    """Builds a table with one line for each configuration.

    Args:
        headways: The configurations' progress.
        now: The time, by the clock that was used for the progress.
    """
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=len("preparing"))
    widest = max(len(_of(headway.max_steps, headway.max_steps)) for headway in headways)
    table.add_column("step", no_wrap=True, justify="right", min_width=widest)  # keeps the columns still as it grows
    table.add_column("live", no_wrap=True, justify="right")
    table.add_column("training accuracy", no_wrap=True, ratio=1)
    for heading in ("", "run-steps/s", "left"):
        table.add_column(heading, no_wrap=True, justify="right")
    for headway in headways:
        table.add_row(*_cells(headway, now))
    return table


def _cells(headway: Headway, now: float) -> list[RenderableType]:
    stage = Text(headway.stage, _STYLES[headway.stage])
    if headway.stage == "waiting":
        return [headway.label, stage]
    if headway.stage == "done":
        stage.append(f" {duration(headway.seconds)}")
    if not headway.accuracy and headway.stage == "done":  # taken from the history
        return [headway.label, stage]
    if not headway.accuracy:
        return [headway.label, stage, _of(0, headway.max_steps)]
    speed, left = headway.run_steps_per_second, headway.seconds_left(now)
    return [
        headway.label,
        stage,
        _of(headway.step, headway.max_steps),
        f"{headway.num_live}/{headway.num_runs}",
        Sparkline(tuple(headway.accuracy)),  # a copy: training goes on while this is drawn
        f"{headway.accuracy[-1]:.3f}",
        "" if speed is None else f"{speed:,.0f}",
        "" if left is None else f"≤ {duration(left)}",
    ]


def _of(step: int, max_steps: int) -> str:
    return f"{step:,}/{max_steps:,}"


def duration(seconds: float) -> str:
    """Formats minutes and seconds, and hours if there are any: 0:07, 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Sparkline:
    """Accuracies as blocks from chance or below to 1, in the available width."""

    def __init__(self, accuracy: Sequence[float]) -> None:
        self._accuracy = accuracy

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(sparkline(self._accuracy, options.max_width), no_wrap=True)


def sparkline(accuracy: Sequence[float], width: int) -> str:
    """Returns one block for each accuracy or, if there are more than ``width``, for the mean of several."""
    count = min(len(accuracy), width)
    ends = [len(accuracy) * index // count for index in range(count + 1)] if count else []
    means = (sum(accuracy[a:b]) / (b - a) for a, b in pairwise(ends))
    return "".join(_BLOCKS[_height(mean)] for mean in means)


def _height(accuracy: float) -> int:
    share = (accuracy - _CHANCE) / (1 - _CHANCE)
    return max(0, min(len(_BLOCKS) - 1, int(share * len(_BLOCKS))))
