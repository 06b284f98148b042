"""The progress of a test as one number, which never goes back."""

from typing import Any

import pytest
from clock import Clock
from sessions import put_strategy

from vecparity import Options
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.following import Elapsed, Fraction
from vecparity.agent.session import Session
from vecparity.agent.settings import SessionSettings
from vecparity.evaluation.callbacks import Asked, Follower
from vecparity.task.config import task_config
from vecparity.training.progress import WindowClosed


class Noted(Follower):
    """Notes what another follower has come to, whenever it may have. A `Follower`."""

    def __init__(self, followed: Fraction) -> None:
        self._followed = followed
        self.noted: list[tuple[float, str]] = []

    def _note(self, *_: Any) -> None:
        self.noted.append((self._followed.done, self._followed.words))

    def begin(self, config: Any) -> None:
        self._note()

    def asked(self, asked: Asked) -> None:
        self._note()

    def window(self, closed: WindowClosed) -> None:
        self._note()

    def finish(self, evaluations: Any) -> None:
        self._note()


@pytest.mark.slow
def test_the_number_grows_to_that_of_the_configurations() -> None:
    fraction = Fraction()
    noted = Noted(fraction)
    assert (fraction.done, fraction.words) == (0, "waiting for a turn")
    with Evaluators(Options(audit="off")) as evaluators:
        session = Session(evaluators, SessionSettings(smoke=True, hidden="n32-k8"))
        put_strategy(session, "isolated_cube")
        session.test([fraction, noted])
    numbers = [number for number, _ in noted.noted]
    assert numbers == sorted(numbers) and numbers[-1] == 2
    words = [each for _, each in noted.noted]
    assert "n50-k8: asking for networks" in words and "n64-k8: step 600" in words
    assert not any("0." in each or "accuracy" in each for each in words)


def test_a_submissions_progress_is_its_time_alone() -> None:
    clock = Clock()
    elapsed = Elapsed(clock)
    assert (elapsed.done, elapsed.words) == (0, "waiting for a turn")
    for label in ("n32-k8", "n50-k8"):
        elapsed.begin(task_config(label))
        clock.now += 1.5
        elapsed.asked(Asked("mine", "networks", 1, 5))
        elapsed.finish([])
        assert elapsed.words == "submitted: being scored"
    assert elapsed.done == 3
