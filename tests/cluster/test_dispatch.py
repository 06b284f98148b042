"""Work that workers hand back."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from conftest import SHORT

from vecparity import Job, TaskConfig
from vecparity.cluster.dispatch import Dispatch
from vecparity.cluster.work import options_for_workers
from vecparity.cluster.worker import close
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
    dispatch = Dispatch(HandingBack(times), 1, options_for_workers(options, 1))
    try:
        (((_, outcome),),) = dispatch.run([task], lambda: False)
    finally:
        close()
    return outcome


def test_what_is_handed_back_is_tried_again_and_not_endlessly() -> None:
    assert not isinstance(outcome_after(49), Failure)
    failure = outcome_after(50)
    assert isinstance(failure.error, MachineError)
    assert str(failure.error) == ("isolated_cube with seed 42: 50 workers returned it; the last: interrupted at step 7")
