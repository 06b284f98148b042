"""Callbacks that report the progress of a command's evaluations."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run


@runtime_checkable
class Follower(Protocol):
    """Receives the progress of one configuration after another; the evaluations of a configuration train together."""

    def begin(self, config: TaskConfig) -> None:
        """Called before the next configuration's strategies make data and networks."""

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """Called when the configuration's runs are ready for the engine, in the order that windows use."""

    def window(self, closed: WindowClosed) -> None:
        """Called when a window closes."""

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """Called when the configuration's evaluations are done."""


class Followers:
    """A `Follower` that calls any number of followers in order."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self._followers = followers

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        for follower in self._followers:
            follower.begin(config)

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        for follower in self._followers:
            follower.prepared(runs, engine)

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        for follower in self._followers:
            follower.window(closed)

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        for follower in self._followers:
            follower.finish(evaluations)
