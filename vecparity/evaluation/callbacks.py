"""Callbacks that report the progress of a command's evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from vecparity.errors import in_number
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run


@dataclass(frozen=True)
class Asked:
    """A request to a strategy, and how far all requests are.

    Attributes:
        strategy: The strategy's name.
        what: Initial networks, or training sets.
        number: The number of networks or training sets asked for so far, those of all tasks together. Those that a call
            for another task has made already count as well.
        of: The most that there can be: tasks may turn out to share them, or fail.
    """

    strategy: str
    what: Literal["networks", "data"]
    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.strategy} for {self.what}, {self.number:,} of {self.of:,}"


@runtime_checkable
class Follower(Protocol):
    """Receives the progress of one configuration after another; the evaluations of a configuration train together.

    A class that inherits from it does nothing in the methods that it does not define.
    """

    def begin(self, config: TaskConfig) -> None:
        """Called before the next configuration's strategies make data and networks."""
        return

    def asked(self, asked: Asked) -> None:
        """Called while the configuration waits for its strategies, whenever they are asked for something else."""
        return

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """Called when the configuration's runs are ready for the engine, in the order that windows use."""
        return

    def window(self, closed: WindowClosed) -> None:
        """Called when a window closes."""
        return

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """Called when the configuration's evaluations are done."""
        return


@dataclass(frozen=True)
class AtWork:
    """Workers at work, on all configurations together.

    Attributes:
        done: The evaluations that are done, and those that had been done before.
        of: All evaluations.
        workers: The number of workers.
        busy: The number of workers that have a batch.
        run_steps: The steps of all runs of the evaluations that workers made.
        again: The batches begun a second time, because their worker died or took too long.
        seconds: The seconds since the first batch.
    """

    done: int
    of: int
    workers: int
    busy: int
    run_steps: int
    again: int
    seconds: float

    @property
    def run_steps_per_second(self) -> float | None:
        """The speed of all workers together; None before any evaluation is done."""
        return self.run_steps / self.seconds if self.run_steps and self.seconds else None

    def __str__(self) -> str:
        words = [f"{self.done:,} of {self.of:,} evaluations done"]
        words.append(f"{self.busy:,} of {in_number(self.workers, 'worker')} busy")
        if self.again:
            words.append(f"{self.again:,} begun again")
        if self.run_steps_per_second is not None:
            words.append(f"{self.run_steps_per_second:,.0f} run-steps/s")
        return ", ".join(words)


@runtime_checkable
class WorkersFollower(Follower, Protocol):
    """Receives the progress of workers, too, which is that of all configurations together."""

    def at_work(self, present: AtWork) -> None:
        """Called before the first evaluation, and whenever some are done."""
        return


class Followers:
    """A `Follower` that calls any number of followers in order."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self._followers = followers

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        for follower in self._followers:
            follower.begin(config)

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        for follower in self._followers:
            follower.asked(asked)

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

    def at_work(self, present: AtWork) -> None:
        """See `WorkersFollower`."""
        for follower in self._followers:
            if isinstance(follower, WorkersFollower):
                follower.at_work(present)
