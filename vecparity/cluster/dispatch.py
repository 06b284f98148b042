"""Keeps the workers of an executor busy with batches, until there is an outcome for every task."""

import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, replace

from vecparity.cluster.batches import MOST_RUNS, Batches
from vecparity.cluster.command_directory import CommandDirectory
from vecparity.cluster.futures import StoppableFuture, drop
from vecparity.cluster.work import WorkDone, to_work
from vecparity.cluster.worker import evaluate_work
from vecparity.errors import InterruptedTrainingError, MachineError, UsageError
from vecparity.evaluation.job import Failure, Outcome, Task
from vecparity.evaluation.options import Options
from vecparity.undisturbed import undisturbed

_TICK_SECONDS = 0.1
# So many workers may end at a task before it is not tried again: a strategy may be what ends them.
_MOST_ENDS = {"died at": 3, "returned": 50}
# A batch is begun a second time once it takes so many times the seconds expected, and so many seconds more.
_OVERDUE_FACTOR, _OVERDUE_SECONDS = 2.0, 5.0
# A worker that a signal has stopped for so long is ended: it counts as one that died.
_FROZEN_SECONDS = 5.0
# The seconds that workers have to hand back their work where the driver was asked to stop.
_HAND_BACK_SECONDS = 10.0

Pairs = list[tuple[Task, Outcome]]


@dataclass
class _Flight:
    """A batch that a worker has.

    Attributes:
        tasks: The tasks.
        began: The time when the worker was first seen at it, or None.
        frozen: The time since when the worker has been stopped, or None.
    """

    tasks: list[Task]
    began: float | None = None
    frozen: float | None = None


class Dispatch:
    """The evaluation of tasks by workers. Where one dies, its batch is tried again, job by job.

    Args:
        executor: The executor, each of whose processes makes one call at a time.
        num_workers: The number of its processes.
        options: The options of workers.
        directory: The directory for checkpoints, with which each job trains by itself, or None.

    Attributes:
        num_again: The number of batches that were begun again, because their worker died or took too long.
    """

    def __init__(
        self, executor: Executor, num_workers: int, options: Options, directory: CommandDirectory | None = None
    ) -> None:
        self._executor, self._num_workers, self._options = executor, num_workers, options
        self._directory = directory
        self._is_shared = getattr(executor, "is_shared", False)
        self._hands_back = getattr(executor, "hands_back", False)
        self._flights: dict[Future[WorkDone], _Flight] = {}
        self._again: deque[list[Task]] = deque()
        self._ends: Counter[tuple[str, int]] = Counter()
        self._warned = set[str](getattr(executor, "warnings", ()))  # was said before the start
        self.num_again = 0

    @property
    def num_busy(self) -> int:
        """The number of workers that have a batch."""
        return len(self._flights)

    def run(self, tasks: Sequence[Task], stop_requested: Callable[[], bool]) -> Generator[Pairs, None, None]:
        """Yields the outcomes of one batch after another, as they are done. What is in progress ends with it.

        Yields no outcomes, too: once all workers have batches, and when one has died.

        Raises:
            InterruptedTrainingError: A stop was requested.
            UsageError: The executor was shut down.
        """
        self._batches = Batches(tasks, self._num_workers, MOST_RUNS if self._directory is None else 1)
        try:
            lost = self._launch()
            yield []
            while self._flights or lost:
                with undisturbed():
                    landed, _ = wait(self._flights, _TICK_SECONDS, FIRST_COMPLETED)
                if stop_requested():
                    yield from self._take_back()
                    raise self._interrupted()
                with undisturbed():
                    ready = [*lost, *(self._land(future) for future in landed)]
                    self._end_frozen()
                    lost = self._launch()
                yield from ready
        finally:
            for future in self._flights:
                drop(future)
            self._flights.clear()

    def _launch(self) -> list[Pairs]:
        """Gives every idle worker a batch; returns failures, if no more can be given to any."""
        while len(self._flights) < self._num_workers:
            tasks = self._again.popleft() if self._again else self._batches.next() or self._overdue()
            if not tasks:
                break
            # A second worker at a batch leaves the checkpoints to the first.
            place = None if self._directory is None or self._with(tasks) else self._directory.place(tasks[0])
            work = to_work(
                tasks, self._options, is_shared=self._is_shared, hands_back=self._hands_back, checkpoint=place
            )
            try:
                future = self._executor.submit(evaluate_work, work)
            except BrokenExecutor as error:
                return self._give_up(tasks, error)
            except RuntimeError as error:
                raise UsageError(f"the executor must take calls, but {error}") from error
            self._flights[future] = _Flight(tasks)
        return []

    def _end_frozen(self) -> None:
        """Ends workers that were stopped a while ago, whose calls would otherwise be waited for without an end."""
        now = time.monotonic()
        for future, flight in self._flights.items():
            if not (isinstance(future, StoppableFuture) and future.is_frozen()):
                flight.frozen = None
            elif flight.frozen is None:
                flight.frozen = now
            elif now - flight.frozen > _FROZEN_SECONDS:
                future.stop()

    def _overdue(self) -> list[Task]:
        """Returns the batch that is most overdue and in one worker's hands only; empty if none is."""
        now = time.monotonic()
        worst, most = list[Task](), 0.0
        for future, flight in self._flights.items():
            if flight.began is None and future.running():
                flight.began = now
            expected = self._batches.expected_seconds(flight.tasks)
            if flight.began is None or expected is None or len(self._with(flight.tasks)) > 1:
                continue
            late = now - flight.began - max(expected * _OVERDUE_FACTOR, expected + _OVERDUE_SECONDS)
            if late > most:
                worst, most = flight.tasks, late
        self.num_again += bool(worst)
        return worst

    def _with(self, tasks: list[Task]) -> "list[Future[WorkDone]]":
        """Returns the calls for a batch."""
        return [future for future, flight in self._flights.items() if flight.tasks is tasks]

    def _land(self, future: "Future[WorkDone]") -> Pairs:
        """Returns the outcomes of a call that is over; empty if the batch is being tried again."""
        if future not in self._flights:  # another worker was faster
            return []
        tasks = self._flights.pop(future).tasks
        if future.cancelled():
            raise UsageError("the executor must take calls until all are done, but it cancelled one")
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            return self._try_again(tasks, "died at", error)
        if isinstance(error, InterruptedTrainingError):  # the worker was asked to end
            return self._try_again(tasks, "returned", error)
        done = future.result()
        for other in self._with(tasks):
            del self._flights[other]
            drop(other)
        self._batches.measure(tasks, done.seconds)
        for words in done.warnings:
            if words not in self._warned:
                self._warned.add(words)
                warnings.warn(words, stacklevel=2)
        return [(task, _of_task(task, outcome)) for task, outcome in zip(tasks, done.outcomes, strict=True)]

    def _try_again(self, tasks: list[Task], how: str, error: BaseException) -> Pairs:
        """Has the tasks of a worker that ended tried again, each by itself; returns the failures of the others."""
        self._ends.update((how, task.index) for task in tasks)
        if self._with(tasks):
            return []
        failures: Pairs = []
        self.num_again += any(self._ends[how, task.index] < _MOST_ENDS[how] for task in tasks)
        for task in tasks:
            if self._ends[how, task.index] < _MOST_ENDS[how]:
                if self._directory is not None:
                    self._directory.unlock(task)
                self._again.append([task])
                continue
            words = f"{task.strategy.name} with seed {task.seeds.seed}: {_MOST_ENDS[how]} workers {how} it"
            failures.append((task, Failure(task.job, MachineError(f"{words}; the last: {error}"))))
        return failures

    def _take_back(self) -> Generator[Pairs, None, None]:
        """Asks workers to hand back their work with a checkpoint, and waits a while; yields what was finished."""
        if self._directory is None:
            return
        for future in self._flights:
            if isinstance(future, StoppableFuture):
                future.ask_back()
        until = time.monotonic() + _HAND_BACK_SECONDS
        while self._flights and (left := until - time.monotonic()) > 0:
            with undisturbed():
                landed, _ = wait(self._flights, min(left, _TICK_SECONDS), FIRST_COMPLETED)
            for future in landed:
                if future.cancelled() or future.exception() is not None:
                    self._flights.pop(future, None)
                elif pairs := self._land(future):
                    yield pairs

    def _interrupted(self) -> InterruptedTrainingError:
        if self._directory is None:
            words = "evaluations that workers had not finished are lost"
        elif self._directory.is_needed:
            words = f"resume with --checkpoint {self._directory.path.parent} --resume"
            return InterruptedTrainingError(f"interrupted: {words}", resumable=True)
        else:
            words = "no worker had anything to keep"
        return InterruptedTrainingError(f"interrupted: {words}", resumable=False)

    def _give_up(self, tasks: list[Task], error: BaseException) -> list[Pairs]:
        """Returns the failures of all tasks that no worker has."""
        words = f"the executor lost its processes and takes no more calls: {error}"
        failures = list[Pairs]()
        while tasks:
            failures.append([(task, Failure(task.job, MachineError(words))) for task in tasks])
            tasks = self._again.popleft() if self._again else self._batches.next()
        return failures


def _of_task(task: Task, outcome: Outcome) -> Outcome:
    """Returns an outcome with the task's own job, by which callers know it."""
    return replace(outcome, job=task.job) if isinstance(outcome, Failure) else outcome
