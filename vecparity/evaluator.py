"""The evaluator: one long-lived object between everything that wants evaluations and everything that makes them."""

import threading
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, Unpack

from vecparity.cluster.batches import MOST_RUNS
from vecparity.cluster.distribution import begun, runner
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.callbacks import Follower, Followers
from vecparity.evaluation.evaluations import Evaluations
from vecparity.evaluation.job import Failure, Job, Outcome, Task, evaluations, to_task
from vecparity.evaluation.keywords import OptionKeywords, require_known, shows
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import Pipeline
from vecparity.evaluation.result import Evaluation
from vecparity.history.recorder import Recorder, require_reusable
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, load
from vecparity.strategy.space import Space
from vecparity.task.config import OptimizerConfig

Item = TypeVar("Item")


class Evaluator:
    """Evaluates any jobs, any number of times; keeps its sandboxes, engines and compiled kernels warm in between.

        with Evaluator(history="search.sqlite") as evaluator:
            for outcome in evaluator.map(Job("mine.py", params={"lr": lr}) for lr in (1e-3, 1e-2)):
                ...

    Every outcome is bitwise what the job's own `evaluate` gives, whatever is evaluated with it or before it (but for
    the ``vmap`` engine, whose rounding depends on the number of runs that train together). With ``checkpoint``, each
    job trains by itself, and its checkpoint serves it in any later evaluator (with ``executor``: in one that is given
    the same jobs together).

    One thread at a time can have jobs evaluated. A process forked from this one cannot.

    Args:
        followers: Objects to notify of the progress.
        history: The history to record the evaluations in, if any: a file, or a history opened with ``create=True``. If
            recording fails, warns, returns the evaluations anyway, and leaves their checkpoint in place.
        reuse: Take evaluations of the same source, settings, engine, device and versions from the history.
        executor: Evaluates the jobs in its processes, instead of this one: `LocalWorkers`, or any other executor whose
            processes were not forked, as ``ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))``,
            loky's or Dask's. Each makes one call at a time, with ``threads`` CPU threads (by default an equal
            share of this machine's). The history is read and written here alone, and the key of a seal stays here.
            Followers are told when a batch of jobs is done, and of no windows. Checkpoints need a directory that all
            processes see.
        **options: Fields of `Options`, by name.

    Raises:
        UsageError: An option is invalid.
        MachineError: Strategies cannot be contained as requested.
    """

    @shows(OptionKeywords)
    def __init__(
        self,
        *,
        followers: Sequence[Follower] = (),
        history: History | str | Path | None = None,
        reuse: bool = False,
        executor: Executor | None = None,
        **options: Unpack[OptionKeywords],
    ) -> None:
        require_known(options, Evaluator)
        require_bool("reuse", reuse)
        if reuse and history is None:
            raise UsageError("reuse needs a history to take evaluations from, got none")
        self._follower = Followers(_followers(followers))
        accepted: dict[str, Any] = {**options}  # `Options` converts them
        self._options = Options(**accepted)
        if reuse:
            require_reusable(self._options)
        self._reuse = reuse
        self._is_stopping = threading.Event()
        self._is_evaluating = threading.Lock()
        with ExitStack() as stack:
            self._history = stack.enter_context(_opened(history))
            self._pipeline = stack.enter_context(Pipeline(self._options))
            self._runner = runner(self._pipeline, self._options, executor)
            self._stack = stack.pop_all()

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the sandboxes, and closes the history if it was opened here."""
        self._stack.close()

    def stop(self) -> None:
        """Stops the evaluation in progress soon, from any thread; its thread gets an `InterruptedTrainingError`."""
        self._is_stopping.set()

    def space(self, strategy: str | Path | Strategy) -> Space:
        """Returns the ranges that a strategy's functions declare for their parameters (`Range`, `Choice`), by name.

        Raises:
            UsageError: The strategy cannot be read.
            InvalidStrategyError: The strategy does not load, or a range is invalid.
            StrategyFailedError: Its file hit a limit, or ended its process.
            MachineError: The sandbox does not work.
        """
        return self._pipeline.space(strategy if isinstance(strategy, Strategy) else load(strategy))

    def optimizer_config(self, job: Job) -> OptimizerConfig:
        """Returns the hyperparameters of a job's first run. For errors see `space`."""
        return self._pipeline.optimizer_config(to_task(0, job, self._options))

    def map(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Yields the outcome of each job, in order, as soon as the earlier ones are done.

        An `Evaluation` has a score. A `Failure` says why a job has none; the other jobs go on.

        Raises:
            UsageError: Another thread has jobs evaluated, or ``jobs`` is not iterable.
            InterruptedTrainingError: `stop` was called.
        """
        waiting: dict[int, Outcome] = {}
        following = 0
        for index, _, outcome in self._outcomes(jobs):
            waiting[index] = outcome
            while following in waiting:
                yield waiting.pop(following)
                following += 1

    def as_completed(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yields each job with its outcome as soon as it is done. For outcomes and errors see `map`."""
        for _, job, outcome in self._outcomes(jobs):
            yield job, outcome

    def _outcomes(self, jobs: Iterable[Job]) -> Iterator[tuple[int, Job, Outcome]]:
        listed = as_list("jobs", jobs, "Jobs")
        tasks = []
        for index, job in enumerate(listed):
            try:
                tasks.append(to_task(index, job, self._options))
            except UsageError as error:
                if not isinstance(job, Job):
                    raise
                yield index, job, Failure(job, error)
        if tasks and self._runner is self._pipeline:
            self._pipeline.warm_up(tasks)
        # A checkpoint belongs to one job, which may be evaluated beside others next time.
        most_runs = MOST_RUNS if self._options.checkpoint is None else 1
        with closing(self._run(tasks, most_runs=most_runs, fails_fast=False)) as groups:
            for outcomes in groups:
                for task, outcome in outcomes:
                    if isinstance(outcome, Evaluation) and (problem := outcome.why_no_score):
                        outcome = Failure(task.job, problem, outcome)
                    yield task.index, task.job, outcome

    def together(self, jobs: Sequence[Job]) -> Evaluations:
        """Evaluates jobs, those of equal settings in a single ensemble if it is here; raises the first error."""
        tasks = [to_task(index, job, self._options) for index, job in enumerate(jobs)]
        outcomes = [pair for group in self._run(tasks, most_runs=None, fails_fast=True) for pair in group]
        return Evaluations(evaluations(sorted(outcomes, key=lambda pair: pair[0].index)))

    def _run(
        self, tasks: Sequence[Task], *, most_runs: int | None, fails_fast: bool
    ) -> Generator[list[tuple[Task, Outcome]], None, None]:
        """Evaluates tasks, and records the evaluations of each group before it yields them."""
        if not self._is_evaluating.acquire(blocking=False):
            raise UsageError("an Evaluator evaluates for one thread at a time: another has jobs evaluated")
        try:
            self._is_stopping.clear()
            recorder = Recorder(self._history, reuse=self._reuse, goes_on=self._options.resume)
            with begun(self._runner, tasks, recorder, is_whole=fails_fast) as own:
                groups = self._runner.run(
                    own,
                    self._follower,
                    most_runs=most_runs,
                    fails_fast=fails_fast,
                    stop_requested=self._is_stopping.is_set,
                    recall=recorder.recall,
                    settle=lambda outcomes: _record(recorder, outcomes),
                )
                with closing(groups):
                    yield from groups
        finally:
            self._is_evaluating.release()


def _opened(history: History | str | Path | None) -> AbstractContextManager[History | None]:
    """Returns a history that accepts additions, as a context that closes it only if it was opened here."""
    if isinstance(history, str | Path):
        return History(history, create=True)
    if history is not None:
        if not isinstance(history, History):
            raise UsageError(f"history must be a file's path or an open History, got {history!r}")
        history.require_additions()
    return nullcontext(history)


def _followers(followers: Sequence[Follower]) -> list[Follower]:
    listed = as_list("followers", followers, "a sequence of followers")
    for follower in listed:
        if not isinstance(follower, Follower):
            raise UsageError(f"followers must have the methods begin, prepared, window and finish, got {follower!r}")
    return listed


def _record(recorder: Recorder, outcomes: Sequence[tuple[Task, Outcome]]) -> bool:
    """Records evaluations; a failed record must not lose the result. Returns whether all are recorded."""
    made = [(task, outcome) for task, outcome in outcomes if isinstance(outcome, Evaluation)]
    try:
        recorder.record([outcome for _, outcome in made], [(task.strategy, task.seeds.seed) for task, _ in made])
    except MachineError as error:
        warnings.warn(f"an evaluation could not be recorded: {error}", stacklevel=2)
        return False
    return True


def as_list(name: str, given: Iterable[Item], expected: str) -> list[Item]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise UsageError(f"{name} must be {expected}, got {given!r}")
    return list(given)


def require_bool(name: str, given: bool) -> None:
    if not isinstance(given, bool):
        raise UsageError(f"{name} must be True or False, got {given!r}")
