"""Warm evaluators that sessions share: each serves one request at a time, and a hanging strategy holds only its own."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

from vecparity.errors import InterruptedTrainingError, MachineError, StrategyFailedError, UsageError, VecparityError
from vecparity.evaluation.callbacks import Follower, Followers
from vecparity.evaluation.job import Failure, Job, Outcome
from vecparity.evaluation.options import Options
from vecparity.evaluator import Evaluator

# Intervals between two looks at a stop: by one thread for each evaluation, and by all that wait for a turn.
_TICK_SECONDS, _WAIT_SECONDS = 0.05, 0.25


class _Place:
    """A place for one evaluation at a time, with an evaluator that stays warm from one to the next.

    Attributes:
        followers: The followers of the present evaluation.
    """

    def __init__(self, options: Options) -> None:
        self.followers: list[Follower] = []
        self._options = options
        self._warm: Evaluator | None = None

    def evaluator(self) -> Evaluator:
        if self._warm is None:
            self._warm = Evaluator(followers=[Followers(self.followers)], **vars(self._options))
        return self._warm

    def close(self) -> None:
        if self._warm is not None:
            self._warm.close()


class Evaluators:
    """Evaluates for any number of sessions, from any threads, so many at a time; others wait for their turn.

    Args:
        options: Options of all evaluations.
        most: The most evaluations at a time. Each has fork servers of its own, about 0.3 GiB.

    Attributes:
        options: The options.

    Raises:
        UsageError: ``most`` is below 1, or the engine cannot be stopped.
    """

    def __init__(self, options: Options, most: int = 1) -> None:
        if most < 1:
            raise UsageError(f"the number of evaluations at a time must be at least 1, got {most}")
        if options.engine == "reference":
            raise UsageError("engine must be one that can be stopped during a run: expected another than reference")
        self.options = options
        self._most = most
        self._free: queue.LifoQueue[_Place] = queue.LifoQueue()  # the one used last is warm
        for _ in range(most):
            self._free.put(_Place(options))

    def __enter__(self) -> "Evaluators":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the evaluations in progress, and ends all sandboxes."""
        for _ in range(self._most):
            self._free.get().close()

    def evaluate(
        self,
        jobs: Sequence[Job],
        followers: Sequence[Follower] = (),
        *,
        seconds: float,
        stopped: threading.Event,
        options: Options | None = None,
    ) -> list[Outcome]:
        """Evaluates jobs, and returns the outcome of each; those that time or a stop kept from an end are failures.

        Args:
            jobs: The jobs.
            followers: Objects to notify of the progress.
            seconds: The most seconds for all of them, without the wait for a turn.
            stopped: Once set, by another thread, the evaluation ends soon.
            options: Other options, for an evaluator of their own, as a fresh seal needs.

        Raises:
            InterruptedTrainingError: ``stopped`` was set before there was a turn.
            MachineError: The machine failed.
        """
        with self.turn(stopped) as place:
            if options is not None:
                with Evaluator(followers=followers, **vars(options)) as own:
                    return _evaluate(own, jobs, seconds, stopped)
            place.followers[:] = followers
            try:
                return _evaluate(place.evaluator(), jobs, seconds, stopped)
            finally:
                place.followers.clear()

    @contextmanager
    def turn(self, stopped: threading.Event) -> Iterator[_Place]:
        """Waits for a turn, and holds it; see `evaluate`."""
        while True:
            if stopped.is_set():
                raise stopped_error()
            try:
                place = self._free.get(timeout=_WAIT_SECONDS)
                break
            except queue.Empty:
                continue
        try:
            yield place
        finally:
            self._free.put(place)


def _evaluate(evaluator: Evaluator, jobs: Sequence[Job], seconds: float, stopped: threading.Event) -> list[Outcome]:
    outcomes: list[Outcome] = []
    # Stopped again and again: an evaluation forgets a stop that came before its beginning.
    with ended(evaluator.stop, "test", seconds, stopped) as reasons:
        try:
            for outcome in evaluator.map(jobs):
                outcomes.append(outcome)  # where it raises, what came before stays
        except InterruptedTrainingError:
            outcomes += [Failure(job, reasons[0]) for job in jobs[len(outcomes) :]]
    for outcome in outcomes:
        if isinstance(outcome, Failure) and isinstance(outcome.error, MachineError):
            raise outcome.error
    return outcomes


@contextmanager
def ended(
    stop: Callable[[], object], what: str, seconds: float, stopped: threading.Event
) -> Iterator[list[VecparityError]]:
    """Ends, from another thread, what is done within a ``with`` and takes too long or is to stop.

    Args:
        stop: Stops it, from any thread; called again and again until it has ended.
        what: What it is, for the error.
        seconds: The most seconds that it may take.
        stopped: Once set, it ends.

    Yields:
        Errors that say why it was ended: none before it is stopped for the first time.
    """
    reasons: list[VecparityError] = []
    done = threading.Event()
    until = time.monotonic() + seconds

    def watch() -> None:
        while not done.wait(_TICK_SECONDS):
            if stopped.is_set():
                reasons.append(stopped_error())
            elif time.monotonic() > until:
                reasons.append(StrategyFailedError(f"did not finish within {seconds:g} s, the limit of a {what}"))
            if reasons:
                stop()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield reasons
    finally:
        done.set()
        watcher.join()


def stopped_error() -> InterruptedTrainingError:
    """Returns the error of what is stopped on request."""
    return InterruptedTrainingError("stopped before its end, on request", resumable=False)
