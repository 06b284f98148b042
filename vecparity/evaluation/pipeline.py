"""The one path from jobs to outcomes: recall, resume, prepare, train, summarise. What serves again is kept warm."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from vecparity.audits.findings import file_unchanged
from vecparity.errors import InterruptedTrainingError, MachineError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.groups import Group, Planned, Recall, batches, group, plan, plan_or_fail
from vecparity.evaluation.job import Failure, Outcome, Task
from vecparity.evaluation.options import Options
from vecparity.evaluation.preparation import Begun, Preparation, Prepared
from vecparity.evaluation.result import Evaluation
from vecparity.evaluation.resumption import notes_of, warn_of_nothing_kept
from vecparity.evaluation.summary import summarise
from vecparity.sandbox import levels
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool
from vecparity.task.config import TaskConfig
from vecparity.training import random_streams, reference
from vecparity.training.engines.interface import Engine
from vecparity.training.engines.names import EngineName
from vecparity.training.engines.select import choose_devices, make_engine
from vecparity.training.loop import OnWindow, Trained, WindowClosed, train

StopRequested = Callable[[], bool]
Settle = Callable[[list[tuple[Task, Outcome]]], bool]
_TICK_SECONDS = 0.1


class Pipeline:
    """Evaluates jobs under fixed options, any number of times; keeps fork servers and engines from one to the next.

    Fork servers start with the first job that needs one. They are started by one thread of the pipeline's own: the
    kernel ends a contained server when the thread that started it ends.

    Args:
        options: The options.

    Raises:
        UsageError: The options do not suit this machine.
        MachineError: The file for the strategies' output cannot be written.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._devices = choose_devices(
            "cpu" if options.engine == "native" and options.device == "auto" else options.device
        )
        init_device = choose_devices(options.init_device)[0]
        self._level = levels.choose(
            options.containment, options.require_containment, needs_cuda=init_device.type == "cuda"
        )
        self._engines: dict[EngineName, Engine] = {}
        with ExitStack() as stack:
            self._log = stack.enter_context(StrategyLog(options.strategy_log))
            num_threads = options.threads or torch.get_num_threads()
            pool = Pool(self._level, options.limits, self._log, init_device, num_threads)
            self._background = ThreadPoolExecutor(1, "preparation")
            stack.callback(self._background.shutdown)
            self._pool = stack.enter_context(pool)
            self._stack = stack.pop_all()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all processes of the sandboxes and removes their files."""
        self._stack.close()

    def warm_up(self, tasks: Sequence[Task]) -> None:
        """Starts all fork servers that tasks like these will need, again and again, and does not wait for them."""
        self._background.submit(self._pool.warm_up, again=False)
        if any(task.audit != "off" for task in tasks):
            self._background.submit(self._pool.warm_up, again=True)

    def run(
        self,
        tasks: Sequence[Task],
        follower: Follower,
        *,
        most_runs: int | None = None,
        fails_fast: bool = False,
        stop_requested: StopRequested = lambda: False,
        recall: Recall = lambda config, provenance: None,
        settle: Settle = lambda outcomes: True,
    ) -> Generator[list[tuple[Task, Outcome]], None, None]:
        """Evaluates tasks: those with equal settings train together; while they do, the next ones are prepared.

        Args:
            tasks: The tasks.
            follower: Receives the progress of one group of tasks after another; `prepared` is not called for a group
                that needs no training.
            most_runs: Maximum number of runs that train together, of several tasks; None for no maximum.
            fails_fast: Whether to raise the first error of a task instead of yielding it.
            stop_requested: Polled at intervals; returns whether to keep a checkpoint and stop.
            recall: Called with the settings and the provenance, without its wall time, of every evaluation; returns the
                evaluation if it is already known, else None.
            settle: Called with the outcomes of each group before they are yielded; returns whether they are safe, so
                that their checkpoints may be removed.

        Yields:
            The outcomes of one group after another. Once it is advanced after the last, all checkpoints are removed if
            all outcomes are safe; those of each group before the next if it does not fail fast. Closing it earlier
            keeps them for a resumption.

        Raises:
            InterruptedTrainingError: A stop was requested.
        """
        plans = _Plans(self, tasks, most_runs, recall, fails_fast=fails_fast)
        with ExitStack() as stack:
            plans.open(stack)
            began, are_safe = time.perf_counter(), True
            coming = plans.next()
            while coming is not None:
                planned, future = coming
                coming = plans.next()
                outcomes = self._evaluate(planned, future, follower, stop_requested, began, fails_fast=fails_fast)
                is_safe = settle(outcomes)
                yield outcomes
                if is_safe and not fails_fast:
                    _end_checkpoints([planned])
                are_safe &= is_safe
                began = time.perf_counter()
            if are_safe:
                _end_checkpoints(plans.planned)

    def _evaluate(
        self,
        planned: Planned,
        future: "Future[Prepared] | None",
        follower: Follower,
        stop_requested: StopRequested,
        began: float,
        *,
        fails_fast: bool,
    ) -> list[tuple[Task, Outcome]]:
        """Evaluates one group, and reports its progress."""
        follower.begin(planned.config)
        outcomes: dict[int, Outcome] = dict(planned.known)
        failures = dict(planned.failures)
        if planned.missing:
            prepared = planned.kept or _wait(future, stop_requested)
            failures |= prepared.failures
            try:
                outcomes |= self._train(planned, prepared, follower, stop_requested, began)
            except MachineError as error:
                if fails_fast:
                    raise
                failures |= {member.position: error for member in prepared.members}
        members = planned.group.members
        outcomes |= {position: Failure(members[position].task.job, error) for position, error in failures.items()}
        follower.finish([outcome for _, outcome in sorted(outcomes.items()) if isinstance(outcome, Evaluation)])
        return [(member.task, outcomes[member.position]) for member in members]

    def _train(
        self, planned: Planned, prepared: Prepared, follower: Follower, stop_requested: StopRequested, began: float
    ) -> dict[int, Evaluation]:
        """Trains the runs of one group, and builds the evaluations, by position."""
        options, config, checkpoints = self._options, planned.config, planned.checkpoints
        if not prepared.members:
            return {}
        if checkpoints is not None and planned.kept is None:
            checkpoints.begin(prepared.runs, notes_of(prepared))
        num_own = len(prepared.members) * config.num_runs
        follower.prepared(prepared.runs[:num_own], planned.engine)
        on_window = _without_audits(follower.window, num_own)
        with _threads(options.threads):
            if planned.engine == "reference":
                trained = reference.train(prepared.runs, config, self._devices[0], options.dtype, on_window)
            else:
                engine = self._engine(planned.engine)
                trained = train(
                    prepared.runs,
                    config,
                    engine,
                    self._devices,
                    options.dtype,
                    on_window,
                    checkpoints,
                    stop_requested,
                )
        seconds = time.perf_counter() - began
        return {
            member.position: _summarise(planned, index, prepared, trained, seconds)
            for index, member in enumerate(prepared.members)
        }

    def _engine(self, name: EngineName) -> Engine:
        """Returns the engine, which keeps what it traced or compiled; a limit that it had found is tried again."""
        if name not in self._engines:
            self._engines[name] = make_engine(name, self._options.chunk_runs)
        engine = self._engines[name]
        engine.chunk_runs = self._options.chunk_runs
        return engine


class _Plans:
    """The groups of one run, planned and prepared one ahead of the group that trains.

    Args:
        pipeline: The pipeline.
        tasks: The tasks.
        most_runs: See `Pipeline.run`.
        recall: See `Pipeline.run`.
        fails_fast: See `Pipeline.run`.

    Attributes:
        planned: The groups planned so far.
    """

    def __init__(
        self, pipeline: Pipeline, tasks: Sequence[Task], most_runs: int | None, recall: Recall, *, fails_fast: bool
    ) -> None:
        self._pipeline, self._recall, self._fails_fast = pipeline, recall, fails_fast
        self._batches = batches(group(tasks, most_runs))
        self._preparation = Preparation(pipeline._pool, pipeline._log, fails_fast=fails_fast)
        self.planned: list[Planned] = []
        self._futures: list[Future[Any]] = []
        self._has_begun = False

    def open(self, stack: ExitStack) -> None:
        """Has the stack close checkpoints, and end what is still being prepared."""
        self._stack = stack
        stack.callback(self._end_preparing)
        self._coming = self._plan_all()

    def next(self) -> "tuple[Planned, Future[Prepared] | None] | None":
        """Plans the next group and begins to prepare it; returns None after the last."""
        return next(self._coming, None)

    def _plan_all(self) -> "Iterator[tuple[Planned, Future[Prepared] | None]]":
        for batch in self._batches:
            plans = [self._plan(group) for group in batch]
            self.planned += plans
            if not self._has_begun:
                self._warn(plans)
                self._has_begun = True
            missing = [[] if planned.kept else planned.missing for planned in plans]
            begun = self._submit(self._preparation.begin, missing) if any(missing) else None
            for index, planned in enumerate(plans):
                future = None
                if begun is not None and missing[index]:
                    future = self._submit(self._finish, begun, index, planned.config)
                yield planned, future

    def _plan(self, group: Group) -> Planned:
        pipeline = self._pipeline
        make = plan if self._fails_fast else plan_or_fail
        return make(group, pipeline._options, pipeline._devices, pipeline._level, self._recall, self._stack)

    def _warn(self, plans: Sequence[Planned]) -> None:
        first = next((planned for planned in plans if planned.missing), None)  # later groups may not have begun
        if first and self._pipeline._options.resume and first.checkpoints is not None and first.kept is None:
            warn_of_nothing_kept(first.checkpoints)
        if first:
            random_streams.warn_of_others()

    def _finish(self, begun: "Future[list[list[Begun] | None]]", index: int, config: TaskConfig) -> Prepared:
        batch = begun.result()
        own, batch[index] = batch[index], None  # its networks are needed no more
        assert own is not None
        return self._preparation.finish(own, config)

    def _submit(self, call: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future = self._pipeline._background.submit(call, *arguments)
        self._futures = [*(other for other in self._futures if not other.done()), future]
        return future

    def _end_preparing(self) -> None:
        """Ends a preparation in progress, by ending its worker."""
        self._preparation.stop()
        for future in self._futures:
            future.cancel()
        while any(not future.done() for future in self._futures):
            self._pipeline._pool.interrupt()
            wait(self._futures, timeout=_TICK_SECONDS)


def _end_checkpoints(planned: Sequence[Planned]) -> None:
    for each in planned:
        if each.checkpoints is not None:
            each.checkpoints.end()


def _wait(future: "Future[Prepared] | None", stop_requested: StopRequested) -> Prepared:
    assert future is not None
    while True:
        try:
            return future.result(timeout=_TICK_SECONDS)
        except TimeoutError:
            if future.done():
                raise
        if stop_requested():
            raise InterruptedTrainingError("interrupted before training: nothing is kept", resumable=False)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Sets torch's number of threads, which is the process's, for the time of a training."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _summarise(
    planned: Planned, index: int, prepared: Prepared, trained: Sequence[Trained], seconds: float
) -> Evaluation:
    member, audit = prepared.members[index], prepared.audits[index]
    ended = [(run, end) for run, end in zip(prepared.runs, trained, strict=True) if run.evaluation == member.position]
    findings = audit.findings(trained) if audit else []
    if audit:
        findings.append(file_unchanged(member.task.strategy.sha256, Path(member.task.strategy.path)))
    stamp = replace(planned.stamps[member.position], wall_seconds=seconds)
    return summarise(planned.config, member.task.seeds.secrets(planned.config), ended, findings, stamp)


def _without_audits(on_window: OnWindow, num_own: int) -> OnWindow:
    """Wraps a window callback so that it does not see the audits' runs, which follow the evaluations' own."""

    def tell(closed: WindowClosed) -> None:
        own = sum(run < num_own for run in closed.runs)
        if own:
            runs, loss, accuracy = closed.runs[:own], closed.loss[:own], closed.accuracy[:own]
            live = [run for run in closed.live if run < num_own]
            on_window(replace(closed, runs=runs, loss=loss, accuracy=accuracy, live=live))

    return tell
