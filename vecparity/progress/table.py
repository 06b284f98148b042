"""The progress of evaluations' configurations: tasks of `rich.progress`, whose completed steps are run-steps."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.progress import Progress, ProgressColumn, Task
from rich.table import Column, Table
from rich.text import Text

from vecparity.evaluation.callbacks import Asked, AtWork
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed, count_good_windows
from vecparity.training.runs import Run

Stage = Literal["waiting", "preparing", "training", "done"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_CHANCE = 0.5
_STYLES: dict[Stage, str] = {"waiting": "dim", "preparing": "yellow", "training": "cyan", "done": "green"}
# Below this width of the terminal, these columns are shown only.
_NARROW = 80
_COMPACT = ("configuration", "stage", "step", "accuracy", "left")
# Speed is measured over the last few seconds, because it changes as runs stop.
_RECENT_SECONDS = 10.0


class ProgressTable(Progress):
    """A table with one line for each configuration, below a title and above the times of all. A `Follower`.

    A task has no total: a run may stop early, and rich forgets its speed when a total changes. Its fields are
    ``config``, ``max_steps``, ``step`` (the furthest of any run; for runs that train one after the other, the present
    run's) and ``curve``; once a strategy has been asked for something, ``asked``; from `prepared` on, ``num_runs``,
    ``num_live`` and the times ``trains_since`` and ``closed_at``; after a window, ``accuracy`` (the mean over the runs
    of each run's ``last_accuracy``) and ``run_steps_left`` (the fewest that are left).

    Args:
        configs: All configurations, in the order in which they will begin.
        title: A line above the table: what is evaluated.
        options: Options of `Progress`.

    Attributes:
        current: The configuration that began last, or else the first.
        by_workers: Words for what workers have done, if there are any.
    """

    def __init__(self, configs: Sequence[TaskConfig], title: str = "", **options: Any) -> None:
        self._all_columns = _columns(max(config.max_steps for config in configs))
        self._title = title
        super().__init__(*self._all_columns.values(), speed_estimate_period=_RECENT_SECONDS, expand=True, **options)
        self._began = self.get_time()
        self.by_workers = ""
        for config in configs:
            fields: dict[str, Any] = {"config": config, "max_steps": config.max_steps, "step": 0, "curve": []}
            self.add_task(config.label, start=False, total=None, **fields, last_accuracy={}, good_windows={})
        self._waiting = iter(self.tasks)
        self.current = self.tasks[0]

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """Adds the headings to rich's table, and leaves columns out where there is little room."""
        is_narrow = self.console.width < _NARROW
        names = _COMPACT if is_narrow else self._all_columns
        self.columns = tuple(self._all_columns[name] for name in names)
        table = super().make_tasks_table(tasks)
        table.show_header = True
        return table

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yields the title, the table and the times; nothing while rich makes the display."""
        if not self.tasks:
            return
        if self._title:
            yield Text(self._title, no_wrap=True, overflow="ellipsis")
        yield self.make_tasks_table(self.tasks)
        yield Text(self._times(), "dim", no_wrap=True, overflow="ellipsis")

    def _times(self) -> str:
        elapsed = f"elapsed {duration(self.get_time() - self._began)}"
        if self.by_workers:
            return f"{elapsed}, {self.by_workers}"
        if stage(self.current) == "preparing" and (asked := self.current.fields.get("asked")):
            return f"{elapsed}, asking {asked}"
        left = self._seconds_left_in_all()
        return elapsed if left is None else f"{elapsed}, at least {duration(left)} left in all"

    def _seconds_left_in_all(self) -> float | None:
        """Returns the least time that this and the waiting configurations can take at the present speed."""
        if (left := seconds_left(self.current)) is None:
            return None
        fields = self.current.fields
        share = fields["num_runs"] / fields["config"].num_runs  # as many evaluations of each
        waiting = [task.fields["config"] for task in self.tasks if stage(task) == "waiting"]
        run_steps = sum(config.num_runs * earliest_stop(config) for config in waiting) * share
        return left + float(run_steps / (run_steps_per_second(self.current) or 1.0))

    def at_work(self, present: AtWork) -> None:
        """See `WorkersFollower`."""
        self.by_workers = str(present)

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self.current = next(self._waiting)
        self.start_task(self.current.id)

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        self.update(self.current.id, asked=asked)

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        now = self.get_time()
        self.advance(self.current.id, 0)  # the speed is measured from here
        self.update(self.current.id, num_runs=len(runs), num_live=len(runs), trains_since=now, closed_at=now)

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        fields = self.current.fields
        # Engines that train one run after the other start at step 0 with each run.
        before = fields["step"] if closed.step > fields["step"] else 0
        last_accuracy, good_windows, config = fields["last_accuracy"], fields["good_windows"], fields["config"]
        at = dict.fromkeys(closed.runs, closed.step)  # runs that train one after the other may have yet to begin
        for run, accuracy in zip(closed.runs, closed.accuracy, strict=True):
            good_windows[run] = count_good_windows(config, closed.step, accuracy, good_windows.get(run, 0))
        last_accuracy |= zip(closed.runs, closed.accuracy, strict=True)
        fields["accuracy"] = sum(last_accuracy.values()) / max(1, len(last_accuracy))
        fields["curve"].append(fields["accuracy"])
        fields |= {
            "step": closed.step,
            "num_live": closed.num_live,
            "run_steps_left": sum(
                earliest_stop(config, at.get(run, 0), good_windows.get(run, 0)) - at.get(run, 0) for run in closed.live
            ),
            "closed_at": self.get_time(),
        }
        # Last: another thread shows the time left as soon as there is a speed.
        self.advance(self.current.id, 0 if closed.is_shown_again else len(closed.runs) * (closed.step - before))

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        self.stop_task(self.current.id)
        self.update(self.current.id, num_live=0)


def stage(task: Task) -> Stage:
    """Returns a configuration's present stage."""
    if not task.started:
        return "waiting"
    if task.stop_time is not None:
        return "done"
    return "training" if "num_runs" in task.fields else "preparing"


def run_steps_per_second(task: Task) -> float | None:
    """Returns the recent speed, or the speed over the whole training once done; None if nothing has been trained.

    Rich has no recent speed if windows take longer than its period.
    """
    if not task.completed:
        return None
    recent = task.speed if stage(task) == "training" else None
    return recent or task.completed / max(task.fields["closed_at"] - task.fields["trains_since"], 1e-9)


def earliest_stop(config: TaskConfig, step: int = 0, good_windows: int = 0) -> int:
    """Returns the first step at which a run can stop.

    Args:
        config: The settings.
        step: The step that the run has reached, at the close of a window.
        good_windows: The windows before it that count towards stopping, without interruption.
    """
    if config.early_stop_acc > 1:
        return config.max_steps
    interval = config.log_interval
    first = max(step + 1, config.min_steps_before_stop, 1)
    first += -first % interval
    return min(config.max_steps, first + (config.early_stop_windows - good_windows - 1) * interval)


def seconds_left(task: Task) -> float | None:
    """Returns the least seconds that training can still take at this speed, if every run stops as soon as it can.

    Rich's own time remaining needs a total, and does not count down between windows.
    """
    if stage(task) != "training" or not (speed := run_steps_per_second(task)):
        return None
    return max(0.0, float(task.fields["run_steps_left"] / speed - (task.get_time() - task.fields["closed_at"])))


def duration(seconds: float) -> str:
    """Formats minutes and seconds, and hours if there are any: 0:07, 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Column(ProgressColumn):
    """A column whose cells a function makes from the task; None leaves a cell empty."""

    def __init__(self, cell: Callable[[Task], RenderableType | None], heading: str = "", **layout: Any) -> None:
        super().__init__(Column(heading, no_wrap=True, **layout))
        self._cell = cell

    def render(self, task: Task) -> RenderableType:
        return self._cell(task) or ""


def _columns(max_steps: int) -> dict[str, ProgressColumn]:
    """Builds the columns by name. Each has the width of its usual widest content: none moves as figures grow."""
    right: dict[str, Any] = {"justify": "right"}
    return {
        "configuration": _Column(lambda task: task.description),
        "stage": _Column(_stage, min_width=len("preparing")),
        "step": _Column(_step, "step", min_width=len(f"{max_steps:,}/{max_steps:,}"), **right),
        "live": _Column(lambda task: _once_trained(task, "{num_live}/{num_runs}"), "live", min_width=7, **right),
        "curve": _Column(lambda task: Sparkline(task.fields["curve"]), "training accuracy", ratio=1),
        "accuracy": _Column(lambda task: _once_trained(task, "{accuracy:.3f}"), min_width=5, **right),
        "speed": _Column(_speed, "run-steps/s", **right),
        "left": _Column(_left, "left", min_width=len("≥ 10:00"), **right),
    }


def _stage(task: Task) -> Text:
    seconds = f" {duration(task.elapsed or 0.0)}" if stage(task) == "done" else ""
    return Text(stage(task) + seconds, _STYLES[stage(task)])


def _step(task: Task) -> str | None:
    is_known = task.fields["curve"] or stage(task) in ("preparing", "training")  # not if taken from the history
    return "{step:,}/{max_steps:,}".format(**task.fields) if is_known else None


def _once_trained(task: Task, template: str) -> str | None:
    return template.format(**task.fields) if task.fields["curve"] else None


def _speed(task: Task) -> str | None:
    speed = run_steps_per_second(task)
    return None if speed is None else f"{speed:,.0f}"


def _left(task: Task) -> str | None:
    left = seconds_left(task)
    return None if left is None else f"≥ {duration(left)}"


class Sparkline:
    """Accuracies as blocks from chance or below to 1, in the available width."""

    def __init__(self, accuracy: Sequence[float]) -> None:
        self._accuracy = tuple(accuracy)  # a copy: training goes on while this is drawn

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
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
