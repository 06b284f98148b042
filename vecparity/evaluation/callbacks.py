"""Who is told how a command's evaluations go, as they go."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run


@runtime_checkable
class Follower(Protocol):
    """Told of one configuration after the other; the evaluations of one train together."""

    def begin(self, config: TaskConfig) -> None:
        """The next configuration's strategies are asked for data and networks."""

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """Its runs are there, in the order that windows name them in, and an engine is to train them."""

    def window(self, closed: WindowClosed) -> None:
        """A window closed."""

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """Its evaluations are done."""


class Followers:
    """Several as one, told in their order; or none.

    A `Follower`.
    """

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
