"""The one path from jobs to outcomes: recall, resume, prepare, train, gather. What serves again is kept warm."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType

import torch

from vecparity.errors import InterruptedTrainingError, MachineError
from vecparity.evaluation import groups
from vecparity.evaluation.callbacks import Asked, Follower
from vecparity.evaluation.gathering import gather_member
from vecparity.evaluation.groups import Planned, Recall
from vecparity.evaluation.job import Failure, Outcome, Task
from vecparity.evaluation.look_ahead import LookAhead, Resources
from vecparity.evaluation.options import Options
from vecparity.evaluation.preparation import Prepared
from vecparity.evaluation.result import Evaluation
from vecparity.evaluation.resumption import notes_of
from vecparity.sandbox import levels
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool, Sandbox
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Space
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.training import reference
from vecparity.training.engines.interface import Engine
from vecparity.training.engines.names import EngineName
from vecparity.training.engines.select import choose_devices, devices_of, make_engine
from vecparity.training.loop import OnWindow, WindowClosed, train
from vecparity.undisturbed import undisturbed

StopRequested = Callable[[], bool]
Settle = Callable[[list[tuple[Task, Outcome]]], bool]
_TICK_SECONDS = 0.1


class Pipeline:
    """Evaluates jobs under fixed options, any number of times; keeps fork servers and engines from one to the next.

    Args:
        options: The options.

    Raises:
        UsageError: The options do not suit this machine.
        MachineError: The file for the strategies' output cannot be written.
    """

    def __init__(self, options: Options) -> None:
        devices = devices_of(options.engine, options.device)
        init_device = choose_devices(options.init_device)[0]
        level = levels.choose(
            options.containment,
            options.require_containment,
            needs_cuda=init_device.type == "cuda",
            is_sealed=options.seal_key is not None,
        )
        self._engines: dict[EngineName, Engine] = {}
        with ExitStack() as stack:
            log = stack.enter_context(StrategyLog(options.strategy_log))
            background = ThreadPoolExecutor(1, "preparation")
            stack.callback(background.shutdown)
            num_threads = options.threads or torch.get_num_threads()
            pool = stack.enter_context(Pool(level, options.limits, log, init_device, num_threads))
            self._resources = Resources(options, devices, level, log, pool, background)
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

    @property
    def level(self) -> levels.Level:
        """The containment of strategies."""
        return self._resources.level

    def warm_up(self, tasks: Sequence[Task]) -> None:
        """Starts all fork servers that tasks like these will need, again and again, and does not wait for them."""
        background, pool = self._resources.background, self._resources.pool
        background.submit(pool.warm_up, again=False)
        if any(task.audit != "off" for task in tasks):
            background.submit(pool.warm_up, again=True)

    def space(self, strategy: Strategy) -> Space:
        """Returns the ranges that a strategy's functions declare for their parameters.

        Raises:
            InvalidStrategyError: The strategy does not load, or a range is invalid.
            StrategyFailedError: Its file hit a limit, or ended its process.
            MachineError: The sandbox does not work.
        """
        with self._resources.log.noted(strategy.sha256):
            return Sandbox(self._resources.pool, strategy, {}).space(TaskConfig())

    def optimizer_config(self, task: Task) -> OptimizerConfig:
        """Returns the hyperparameters of a task's first run; raises what `space` does."""
        sandbox = Sandbox(self._resources.pool, task.strategy, task.parameters.arguments)
        with self._resources.log.noted(task.strategy.sha256):
            ((_, optimizer),) = sandbox.initialise(task.config, [task.seeds.run_seed(task.config, 0, 0)])
        return optimizer

    def recalled(self, tasks: Sequence[Task], recall: Recall) -> Iterator[tuple[Task, Evaluation | None]]:
        """Yields each task with its evaluation if that is known already; for ``recall`` see `run`."""
        resources = self._resources
        return groups.recalled(tasks, resources.options, resources.devices, resources.level, recall)

    def run(
        self,
        tasks: Sequence[Task],
        follower: Follower,
        *,
        most_runs: int | None = None,
        fails_fast: bool = False,
        checkpoint: Path | None = None,
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
            checkpoint: Directory for checkpoints, instead of the options', from which the tasks go on.
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
        resources = self._resources
        if checkpoint is not None:
            resources = replace(resources, options=replace(resources.options, checkpoint=checkpoint, resume=True))
        plans = LookAhead(resources, tasks, most_runs, recall, fails_fast=fails_fast)
        with ExitStack() as stack:
            plans.open(stack)
            began, are_safe = time.perf_counter(), True
            coming = plans.next()
            while coming is not None:
                planned, future = coming
                coming = plans.next()
                outcomes = self._evaluate(
                    planned,
                    partial(_wait, future, plans, follower, stop_requested),
                    follower,
                    stop_requested,
                    began,
                    fails_fast=fails_fast,
                )
                is_safe = settle(outcomes)
                yield outcomes
                if is_safe and not fails_fast and planned.checkpoints is not None:
                    planned.checkpoints.end()
                are_safe &= is_safe
                began = time.perf_counter()
            if are_safe:
                for checkpoints in plans.checkpoints:
                    checkpoints.end()

    def _evaluate(
        self,
        planned: Planned,
        await_prepared: Callable[[], Prepared],
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
            prepared = planned.kept or await_prepared()
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
        options, config, checkpoints = self._resources.options, planned.config, planned.checkpoints
        if not prepared.members:
            return {}
        if checkpoints is not None and planned.kept is None:
            checkpoints.begin(prepared.runs, notes_of(prepared))
        num_own = len(prepared.members) * config.num_runs
        follower.prepared(prepared.runs[:num_own], planned.engine)
        on_window = _without_audits(follower.window, num_own)
        with _threads(options.threads):
            if planned.engine == "reference":
                trained = reference.train(prepared.runs, config, self._resources.devices[0], options.dtype, on_window)
            else:
                engine = self._engine(planned.engine)
                trained = train(
                    prepared.runs,
                    config,
                    engine,
                    self._resources.devices,
                    options.dtype,
                    on_window,
                    checkpoints,
                    stop_requested,
                )
        seconds = time.perf_counter() - began
        return {
            member.position: gather_member(planned, index, prepared, trained, seconds)
            for index, member in enumerate(prepared.members)
        }

    def _engine(self, name: EngineName) -> Engine:
        """Returns the engine, which keeps what it traced or compiled; a limit that it had found is tried again."""
        if name not in self._engines:
            self._engines[name] = make_engine(name, self._resources.options.chunk_runs)
        engine = self._engines[name]
        engine.chunk_runs = self._resources.options.chunk_runs
        return engine


def _wait(
    future: "Future[Prepared] | None", plans: LookAhead, follower: Follower, stop_requested: StopRequested
) -> Prepared:
    """Waits for a group's runs, and tells meanwhile what its strategies are asked for."""
    assert future is not None
    told: Asked | None = None
    while True:
        with undisturbed():
            done, _ = wait([future], timeout=_TICK_SECONDS)
        if (asked := plans.asked) is not None and asked != told:
            told = asked
            follower.asked(asked)
        if done:
            return future.result()
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


def _without_audits(on_window: OnWindow, num_own: int) -> OnWindow:
    """Wraps a window callback so that it does not see the audits' runs, which follow the evaluations' own."""

    def tell(closed: WindowClosed) -> None:
        own = sum(run < num_own for run in closed.runs)
        if own:
            runs, loss, accuracy = closed.runs[:own], closed.loss[:own], closed.accuracy[:own]
            live = [run for run in closed.live if run < num_own]
            on_window(replace(closed, runs=runs, loss=loss, accuracy=accuracy, live=live))

    return tell
