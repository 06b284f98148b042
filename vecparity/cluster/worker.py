"""Evaluates work in a worker's process, which keeps its sandboxes and engines warm from one piece to the next."""

import atexit
import threading
import time
import warnings
from collections.abc import Callable

import torch

from vecparity import machine
from vecparity.cluster import preemption
from vecparity.cluster.command_directory import require_seen
from vecparity.cluster.work import Work, WorkDone, require_sandbox
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.callbacks import Followers
from vecparity.evaluation.job import Failure, Outcome
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import Pipeline

_is_working = threading.Lock()
# The pipeline of the last options. A worker serves one evaluator after the other, seldom two by turns.
_warm: dict[Options, Pipeline] = {}


def evaluate_work(work: Work) -> WorkDone:
    """Evaluates tasks together; an error becomes the `Failure` of its task, or of all.

    Raises:
        InterruptedTrainingError: The work is handed back, see `preemption`.
    """
    began = time.perf_counter()
    with (
        _is_working,
        preemption.heeded(work.hands_back) as stop_requested,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", UserWarning)  # the driver decides what becomes of them
        if words_of_draws := machine.words_of_draws(machine.host(), machine.draws(), work.draws):
            warnings.warn(words_of_draws, stacklevel=2)
        try:
            outcomes = _evaluate(work, stop_requested)
        except (UsageError, MachineError) as error:
            outcomes = [Failure(task.job, error) for task in work.tasks]
    words = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    return WorkDone(outcomes, time.perf_counter() - began, list(dict.fromkeys(words)))


def _evaluate(work: Work, stop_requested: Callable[[], bool]) -> list[Outcome]:
    if machine.versions() != work.versions:
        raise MachineError(f"workers need {work.versions}, as here, got {machine.versions()} on {machine.host()}")
    pipeline = _pipeline(work.options)
    if work.checkpoint is not None:
        require_seen(work.checkpoint)
    for task in work.tasks if work.is_shared else ():
        require_sandbox(task.strategy, pipeline.level)
    pipeline.warm_up(work.tasks)
    groups = pipeline.run(
        work.tasks,
        Followers([]),
        checkpoint=work.checkpoint,
        stop_requested=stop_requested,
        settle=lambda outcomes: False,  # the driver removes checkpoints
    )
    outcomes = {task.index: outcome for group in groups for task, outcome in group}
    return [outcomes[task.index] for task in work.tasks]


def _pipeline(options: Options) -> Pipeline:
    if options not in _warm:
        close()
        if options.threads is not None:
            torch.set_num_threads(options.threads)
        _warm[options] = Pipeline(options)
    return _warm[options]


@atexit.register
def close() -> None:
    """Ends the sandboxes."""
    while _warm:
        _warm.popitem()[1].close()
