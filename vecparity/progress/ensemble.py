"""The ensemble that a long command is evaluating, among many of them, in a few words."""

from collections.abc import Sequence

from vecparity.evaluation.callbacks import Asked, AtWork, Follower
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run


class EnsembleProgress(Follower):
    """Follows one ensemble after another. A `Follower`.

    Attributes:
        config: The settings of the ensemble that began last, or None.
        num_runs: The number of its runs, or 0 if they are not made yet or have ended.
        share: The share of the most steps that its runs have made.
        stage: What it is doing, in words.
        by_workers: Words for what workers are doing, if there are any: they tell of no single ensemble.
    """

    def __init__(self) -> None:
        self.config: TaskConfig | None = None
        self.num_runs = 0
        self.share = 0.0
        self.stage = "waiting"
        self.by_workers = ""

    def changed(self) -> None:
        """Called whenever there is something else to show."""

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self.config, self.num_runs, self.share = config, 0, 0.0
        self.stage = "preparing"
        self.changed()

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        self.stage = f"asking {asked}"
        self.changed()

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        self.num_runs = len(runs)
        self.stage = f"{self.num_runs:,} runs begin"
        self.changed()

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        assert self.config is not None
        self.share = closed.step / self.config.max_steps
        num_live = sum(run < self.num_runs for run in closed.live)
        self.stage = f"step {closed.step:,} of {self.config.max_steps:,}, {num_live:,} of {self.num_runs:,} runs live"
        self.changed()

    def at_work(self, present: AtWork) -> None:
        """See `WorkersFollower`."""
        self.by_workers = str(present)
        self.changed()

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        self.num_runs, self.stage = 0, "done"
        self.changed()
