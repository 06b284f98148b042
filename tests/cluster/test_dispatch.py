"""Work that workers hand back, or do not come to an end with."""

import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT

from vecparity import Evaluation, Job, TaskConfig
from vecparity.cluster import dispatch
from vecparity.cluster.command_directory import CommandDirectory
from vecparity.cluster.dispatch import Dispatch
from vecparity.cluster.work import options_for_workers, to_work
from vecparity.cluster.worker import close, evaluate_work
from vecparity.errors import InterruptedTrainingError, MachineError
from vecparity.evaluation.job import Failure, to_task
from vecparity.evaluation.options import Options


class HandingBack(Executor):
    """Makes calls in this process, but hands the first ones back.

    Args:
        times: The number of calls to hand back.
    """

    def __init__(self, times: int) -> None:
        self.left = times

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future = Future[Any]()
        self.left -= 1
        if self.left >= 0:
            future.set_exception(InterruptedTrainingError("interrupted at step 7", resumable=True))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def outcome_after(times: int) -> Any:
    options = Options()
    task = to_task(0, Job("isolated_cube", TaskConfig(**SHORT | {"max_steps": 1})), options)
    dispatched = Dispatch(HandingBack(times), 1, options_for_workers(options, 1))
    try:
        ((_, outcome),) = [pair for pairs in dispatched.run([task], lambda: False) for pair in pairs]
    finally:
        close()
    return outcome


@pytest.mark.slow
def test_what_is_handed_back_is_tried_again_and_not_endlessly() -> None:
    assert not isinstance(outcome_after(49), Failure)
    failure = outcome_after(50)
    assert isinstance(failure.error, MachineError)
    assert str(failure.error) == ("isolated_cube with seed 42: 50 workers returned it; the last: interrupted at step 7")


def test_a_signal_does_not_break_off_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off inside, it could leave a lock held for which workers' threads would wait for ever."""
    options, waits = Options(), list[str]()

    def interrupted_wait(*arguments: Any) -> Any:
        waits.append("begun")
        signal.raise_signal(signal.SIGINT)
        waits.append("ended")
        return wait(*arguments)

    monkeypatch.setattr(dispatch, "wait", interrupted_wait)
    task = to_task(0, Job("isolated_cube", TaskConfig(**SHORT)), options)
    with pytest.raises(KeyboardInterrupt):
        list(Dispatch(Slow(0), 1, options_for_workers(options, 1)).run([task], lambda: False))
    assert waits == ["begun", "ended"]


class Slow(Executor):
    """Makes calls in this process, but for the first one with a job, which goes on and on.

    Args:
        slow: The job's index.

    Attributes:
        places: Each call's directory for checkpoints.
    """

    def __init__(self, slow: int) -> None:
        self._slow = slow
        self.places: list[Path | None] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future = Future[Any]()
        future.set_running_or_notify_cancel()
        (work,) = args
        self.places.append(work.checkpoint)
        if work.tasks[0].index == self._slow:
            self._slow = -1
        else:
            future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.slow
def test_a_second_worker_leaves_the_checkpoints_to_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_OVERDUE_SECONDS", 0.0)
    options = Options(checkpoint=tmp_path)
    jobs = [Job("isolated_cube", TaskConfig(**SHORT | {"max_steps": 1}), seed) for seed in range(2)]
    listed = [to_task(index, job, options) for index, job in enumerate(jobs)]
    executor = Slow(1)
    try:
        evaluate_work(to_work(listed[:1], options_for_workers(options, 1)))  # starts sandboxes
        with CommandDirectory(listed, options) as directory:
            dispatched = Dispatch(executor, 2, options_for_workers(options, 1), directory)
            outcomes = [pair for pairs in dispatched.run(listed, lambda: False) for pair in pairs]
            assert executor.places == [*map(directory.place, listed), None]
    finally:
        close()
    assert [task.index for task, outcome in outcomes if isinstance(outcome, Evaluation)] == [0, 1]
