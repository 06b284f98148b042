"""Evaluates tasks by workers as `Pipeline.run` does here; what is known, and what is done with outcomes, stays here."""

import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from vecparity.audits.findings import file_unchanged
from vecparity.cluster.command_directory import CommandDirectory
from vecparity.cluster.dispatch import Dispatch, Pairs
from vecparity.cluster.work import options_for_workers, require_sandbox
from vecparity.errors import MachineError, UsageError, brief
from vecparity.evaluation.callbacks import AtWork, Follower, WorkersFollower
from vecparity.evaluation.groups import Recall
from vecparity.evaluation.job import Failure, Outcome, Task, evaluations
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import Pipeline, Settle, StopRequested
from vecparity.evaluation.result import Evaluation
from vecparity.history.recorder import Recorder
from vecparity.sandbox.limits import num_cpus
from vecparity.task.config import TaskConfig
from vecparity.training.engines.names import DeviceName
from vecparity.training.engines.select import devices_of


class Distribution:
    """Evaluates tasks in the processes of an executor.

    Args:
        pipeline: Knows the provenance of evaluations here, by which those of a history are recalled.
        options: The options.
        executor: The executor.

    Raises:
        UsageError: The executor does not suit, or the options do not suit an executor.
        MachineError: A machine of the executor has other versions, or does not answer.
    """

    def __init__(self, pipeline: Pipeline, options: Options, executor: Executor) -> None:
        _require_processes(executor)
        getattr(executor, "require_alike", lambda: None)()  # said before the start, if the executor can ask
        if options.strategy_log is not None:
            raise UsageError("strategy_log is for evaluations of this process: expected none with an executor, got one")
        workers = num_workers(executor)
        threads = 1 if workers is None else max(1, torch.get_num_threads() // workers)
        threads = getattr(executor, "threads", threads)
        self._pipeline, self._executor = pipeline, executor
        self._num_workers = workers or num_cpus()
        self._own_options, self._options = options, options_for_workers(options, threads)
        if (gpus := getattr(executor, "gpus", None)) is not None:
            self._options = replace(self._options, device=_device_of_workers(options, gpus))
        self._directory: CommandDirectory | None = None

    @contextmanager
    def begun(self, tasks: Sequence[Task], recorder: Recorder, *, is_whole: bool) -> Iterator[Sequence[Task]]:
        """See `begun`."""
        options = self._own_options
        if options.checkpoint is None:
            yield tasks
            return
        try:
            directory = CommandDirectory(tasks, options)
        except (UsageError, MachineError) as error:
            if not options.checkpoint_if_possible or options.resume:
                raise
            warnings.warn(f"no checkpoints are kept: {error}", stacklevel=2)
            yield tasks
            return
        with directory:
            if directory.is_resumed and not (is_whole or recorder.is_recording):
                warnings.warn("without a history, evaluations that were finished are made again", stacklevel=2)
            if options.resume and not directory.is_resumed and is_whole:
                warnings.warn(
                    f"no {directory.path.name} in {directory.path.parent}: the evaluations start from the beginning",
                    stacklevel=2,
                )
            recorder.go_on(directory.command)
            self._directory = directory
            try:
                yield directory.tasks
            finally:
                self._directory = None

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
    ) -> Generator[Pairs, None, None]:
        """Evaluates tasks; for arguments and errors see `Pipeline.run`.

        Args:
            tasks: The tasks.
            follower: Receives the beginning and the end of one group of tasks after another.
            most_runs: None to yield all outcomes of equal settings together, in the order of the tasks; any number to
                yield those of each batch as soon as they are done.
            fails_fast: See `Pipeline.run`.
            stop_requested: See `Pipeline.run`.
            recall: See `Pipeline.run`.
            settle: See `Pipeline.run`.
        """
        groups = _in_whole(tasks, follower) if most_runs is None else _as_they_come(follower)
        next(groups)
        dispatch = Dispatch(self._executor, self._num_workers, self._options, self._directory)
        began, num_done, run_steps, are_safe = time.monotonic(), 0, 0, True
        with closing(self._arrivals(tasks, dispatch, stop_requested, recall)) as arrivals:
            for outcomes, are_new in arrivals:
                num_done += len(outcomes)
                run_steps += sum(_run_steps(outcome) for _, outcome in outcomes) if are_new else 0
                if isinstance(follower, WorkersFollower):
                    passed = time.monotonic() - began
                    busy, again = dispatch.num_busy, dispatch.num_again
                    follower.at_work(AtWork(num_done, len(tasks), self._num_workers, busy, run_steps, again, passed))
                if not outcomes:
                    continue
                if fails_fast:
                    for _, outcome in outcomes:
                        if isinstance(outcome, Failure):
                            raise outcome.error
                for group in groups.send(outcomes):
                    is_safe = settle(group) and not any(map(_is_the_machines, group))
                    yield group
                    if is_safe and not fails_fast and self._directory is not None:
                        self._directory.forget([task for task, _ in group])
                    are_safe &= is_safe
        if are_safe and self._directory is not None:
            self._directory.remove()

    def _arrivals(
        self, tasks: Sequence[Task], dispatch: Dispatch, stop_requested: StopRequested, recall: Recall
    ) -> Generator[tuple[Pairs, bool], None, None]:
        """Yields outcomes of tasks with equal settings, in any order, or none, and whether workers made them."""
        missing = []
        for task, known in self._pipeline.recalled(tasks, recall):
            if known is not None:
                yield [(task, known)], False
                continue
            try:
                if getattr(self._executor, "is_shared", False):
                    require_sandbox(task.strategy, self._options.containment)
                missing.append(task)
            except UsageError as error:
                yield [(task, Failure(task.job, error))], False
        with closing(dispatch.run(missing, stop_requested)) as batches:
            for outcomes in batches:
                yield [(task, _with_file_checked(task, outcome)) for task, outcome in outcomes], True


Groups = Generator[list[Pairs], Pairs, None]


def _as_they_come(follower: Follower) -> Groups:
    """Receives outcomes, and yields them as one group."""
    groups = list[Pairs]()
    while True:
        outcomes = yield groups
        follower.begin(outcomes[0][0].config)
        follower.finish(evaluations(outcomes))
        groups = [outcomes]


def _in_whole(tasks: Sequence[Task], follower: Follower) -> Groups:
    """Receives outcomes, and yields those of equal settings once they are complete, in the order of the tasks."""
    done: dict[int, Outcome] = {}
    waiting = list(_by_config(tasks).items())
    groups = list[Pairs]()
    begun = None
    while True:
        if waiting and begun != waiting[0][0]:
            begun = waiting[0][0]
            follower.begin(begun)
        done |= {task.index: outcome for task, outcome in (yield groups)}
        groups = []
        while waiting and all(task.index in done for task in waiting[0][1]):
            config, own = waiting.pop(0)
            if begun != config:
                follower.begin(config)
            group = [(task, done.pop(task.index)) for task in own]
            follower.finish(evaluations(group))
            groups.append(group)


def _by_config(tasks: Sequence[Task]) -> dict[TaskConfig, list[Task]]:
    groups: dict[TaskConfig, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.config, []).append(task)
    return groups


def _with_file_checked(task: Task, outcome: Outcome) -> Outcome:
    """Returns an outcome whose finding about the strategy's file is of the file here, which a worker may not have."""
    evaluation = outcome if isinstance(outcome, Evaluation) else outcome.evaluation
    if evaluation is None or not any(finding.name == "file" for finding in evaluation.findings):
        return outcome
    own = file_unchanged(task.strategy.sha256, Path(task.strategy.path))
    findings = [own if finding.name == "file" else finding for finding in evaluation.findings]
    checked = replace(evaluation, findings=findings)
    return checked if isinstance(outcome, Evaluation) else replace(outcome, evaluation=checked)


def _run_steps(outcome: Outcome) -> int:
    evaluation = outcome if isinstance(outcome, Evaluation) else outcome.evaluation
    return sum(result.steps for result in evaluation.results) if evaluation is not None else 0


def _is_the_machines(pair: tuple[Task, Outcome]) -> bool:
    """Returns True for a failure that may not be one next time."""
    return isinstance(pair[1], Failure) and isinstance(pair[1].error, MachineError)


def runner(pipeline: Pipeline, options: Options, executor: Executor | None) -> Pipeline | Distribution:
    """Returns what evaluates tasks: the pipeline itself, or the processes of an executor; see `Distribution`."""
    return pipeline if executor is None else Distribution(pipeline, options, executor)


@contextmanager
def begun(
    runner: Pipeline | Distribution, tasks: Sequence[Task], recorder: Recorder, *, is_whole: bool
) -> Iterator[Sequence[Task]]:
    """Begins a command, or goes on with it where workers keep checkpoints and the options say ``resume``.

    Args:
        runner: Evaluates the tasks in the block.
        tasks: The tasks.
        recorder: Recalls and records the evaluations. It goes on with the command, too.
        is_whole: True if all evaluations are done and their checkpoints kept until the end of the block.

    Yields:
        The tasks to evaluate; sealed ones have the draws with which the command began.

    Raises:
        UsageError: See `CommandDirectory`.
        MachineError: See `CommandDirectory`.
    """
    if isinstance(runner, Pipeline):
        yield tasks
        return
    with runner.begun(tasks, recorder, is_whole=is_whole) as own:
        yield own


def num_workers(executor: Executor) -> int | None:
    """Returns the number of an executor's processes, or None if it does not say."""
    count = getattr(executor, "num_workers", getattr(executor, "_max_workers", None))
    return count if isinstance(count, int) and count >= 1 else None


def _device_of_workers(options: Options, gpus: int) -> DeviceName:
    """Returns the device of workers that have so many GPUs each: the kind on which evaluations here would train.

    Raises:
        UsageError: They do not have it.
    """
    kind = devices_of(options.engine, options.device)[0].type
    if (kind == "cuda") != bool(gpus):
        expected = int(kind == "cuda")
        raise UsageError(f"training on {kind} needs RayWorkers(gpus={expected}), got gpus={gpus} (or name a device)")
    return "cuda" if gpus else "cpu"


def _require_processes(executor: Executor) -> None:
    if not isinstance(executor, Executor):
        raise UsageError(f"executor must be a concurrent.futures.Executor, got {brief(executor)}")
    if isinstance(executor, ThreadPoolExecutor):
        raise UsageError(
            "executor must have processes, since torch's number of threads is a process's: expected LocalWorkers or "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn')), got a ThreadPoolExecutor"
        )
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise UsageError(
            "executor must spawn its processes, since torch's threads do not survive a fork: expected "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn')), got one that forks"
        )
