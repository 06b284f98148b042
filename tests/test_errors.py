import pickle

import pytest

from vecparity import Failure, Job
from vecparity.errors import (
    AuditFailedError,
    DivergedError,
    InterruptedTrainingError,
    InvalidStrategyError,
    MachineError,
    StrategyFailedError,
    UsageError,
    VecparityError,
)

ERRORS = [
    UsageError("expected this, got that"),
    InvalidStrategyError("mine.py:3"),
    StrategyFailedError("mine.py:4"),
    DivergedError("a run"),
    AuditFailedError("overlap"),
    InterruptedTrainingError("step 5", resumable=True),
    InterruptedTrainingError("step 5", resumable=False),
    MachineError("full"),
]


def kinds(parent: type[VecparityError] = VecparityError) -> set[type[VecparityError]]:
    return {parent, *(kind for child in parent.__subclasses__() for kind in kinds(child))}


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_error_comes_from_another_process_as_it_was(error: VecparityError) -> None:
    (restored,) = [pickle.loads(pickle.dumps(Failure(Job("mine.py"), error))).error]
    assert (type(restored), str(restored), restored.exit_status) == (type(error), str(error), error.exit_status)
    assert vars(restored) == vars(error)


def test_every_kind_is_tried() -> None:
    own = {kind for kind in kinds() if kind.__module__ == VecparityError.__module__}
    assert own - {VecparityError} == {type(error) for error in ERRORS}
