from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest
from clock import Clock
from conftest import SHORT
from equivalence import make_runs
from hypothesis import given
from hypothesis import strategies as st
from noting import Noting
from rich.progress import Task

from vecparity import Evaluation, TaskConfig, evaluate
from vecparity.evaluation.callbacks import Asked
from vecparity.progress.table import ProgressTable, earliest_stop, run_steps_per_second, seconds_left, stage
from vecparity.training.progress import WindowClosed


def closed(
    step: int, accuracy: Sequence[float], live: Sequence[int] | None = None, again: bool = False
) -> WindowClosed:
    runs = range(len(accuracy))
    return WindowClosed(step, runs, [0.1] * len(runs), accuracy, runs if live is None else live, is_shown_again=again)


class Progress:
    """The table of one configuration, driven by calls that say when they happen."""

    def __init__(self, max_steps: int = 1000, **settings: Any) -> None:
        self._clock = Clock(0.0)
        config = TaskConfig(max_steps=max_steps, log_interval=100, **{"early_stop_acc": 1.5} | settings)
        self._table = ProgressTable([config], get_time=self._clock)

    @property
    def task(self) -> Task:
        return self._table.current

    @property
    def stage(self) -> str:
        return stage(self.task)

    @property
    def speed(self) -> float | None:
        return run_steps_per_second(self.task)

    def seconds_left(self, now: float) -> float | None:
        self._clock.now = now
        return seconds_left(self.task)

    def begin(self, now: float) -> None:
        self._clock.now = now
        self._table.begin(TaskConfig())

    def prepared(self, num_runs: int, now: float) -> None:
        self._clock.now = now
        self._table.prepared(make_runs()[:1] * num_runs, "native")

    def window(self, closed: WindowClosed, now: float) -> None:
        self._clock.now = now
        self._table.window(closed)

    def finish(self, now: float) -> None:
        self._clock.now = now
        self._table.finish([])


def training(num_runs: int, max_steps: int = 1000) -> Progress:
    progress = Progress(max_steps)
    progress.begin(0.0)
    progress.prepared(num_runs, 3.0)
    return progress


def test_a_training_from_its_beginning_to_its_end() -> None:
    progress = Progress()
    assert (progress.stage, progress.speed, progress.seconds_left(0.0)) == ("waiting", None, None)
    progress.begin(0.0)
    assert progress.stage == "preparing"
    progress.prepared(2, 3.0)
    assert (progress.stage, progress.task.fields["num_live"], progress.seconds_left(3.0)) == ("training", 2, None)
    progress.window(closed(100, [0.5, 0.6]), 4.0)
    assert progress.speed == pytest.approx(200)
    assert progress.seconds_left(4.0) == pytest.approx(9)  # two runs, 900 steps each
    assert progress.seconds_left(6.0) == pytest.approx(7)
    assert progress.seconds_left(60.0) == 0
    progress.window(closed(200, [0.7, 1.0], live=[0]), 5.0)
    assert progress.task.fields["num_live"] == 1
    assert progress.seconds_left(5.0) == pytest.approx(4)
    progress.window(WindowClosed(300, [0], [0.1], [0.8], [0]), 6.0)
    curve = progress.task.fields["curve"]
    assert curve == pytest.approx([0.55, 0.85, 0.9]), "a run that stopped counts with its last window"
    progress.finish(7.0)
    assert (progress.stage, progress.task.elapsed, progress.task.fields["num_live"]) == ("done", 7.0, 0)
    assert progress.seconds_left(9.0) is None
    assert progress.task.elapsed == 7.0, "its duration stays"
    assert progress.speed == pytest.approx(500 / 3)


def test_it_can_be_drawn_as_soon_as_there_is_a_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread draws it at any moment."""
    advance, left = ProgressTable.advance, list[float | None]()

    def advance_and_draw(table: ProgressTable, *arguments: Any) -> None:
        advance(table, *arguments)
        left.append(seconds_left(table.current))

    monkeypatch.setattr(ProgressTable, "advance", advance_and_draw)
    progress = training(2)
    progress.window(closed(100, [0.5, 0.6]), 4.0)
    assert left == [None, pytest.approx(9)]


def test_it_says_what_a_strategy_is_asked_for_until_it_trains() -> None:
    table = ProgressTable([TaskConfig()], get_time=Clock(0.0))
    table.begin(TaskConfig())
    assert table._times() == "elapsed 0:00"
    table.asked(Asked("isolated_cube", "networks", 1_000, 3_000))
    assert table._times() == "elapsed 0:00, asking isolated_cube for networks, 1,000 of 3,000"
    table.prepared(make_runs()[:1], "native")
    assert table._times() == "elapsed 0:00"


def test_speed_is_that_of_the_last_seconds() -> None:
    progress = training(1, 100_000)
    for second in range(1, 31):
        progress.window(closed(100 * second if second <= 15 else 10 * second + 1350, [0.5]), 3.0 + second)
    assert progress.speed == pytest.approx(10)
    progress.finish(40.0)
    assert progress.speed == pytest.approx(1650 / 30), "that of the whole training, once it is over"


def test_windows_longer_than_the_last_seconds_have_a_speed() -> None:
    progress = training(1)
    for window in (1, 2, 3):
        progress.window(closed(100 * window, [0.5]), 3.0 + 25 * window)
        assert progress.speed == pytest.approx(4)
        assert progress.seconds_left(3.0 + 25 * window) == pytest.approx((1000 - 100 * window) / 4)


def test_windows_shown_again_are_no_speed() -> None:
    progress = training(2)
    for step in (100, 200, 300):
        progress.window(closed(step, [0.5, 0.5], again=True), 3.0)
    assert (progress.task.fields["step"], len(progress.task.fields["curve"])) == (300, 3)
    assert (progress.speed, progress.seconds_left(3.0)) == (None, None)
    progress.window(closed(400, [0.5, 0.5]), 4.0)
    assert progress.speed == pytest.approx(200)


def test_a_slow_replay_leaves_the_speed_of_the_first_new_window() -> None:
    progress = training(2)
    for step in (100, 200, 300):
        progress.window(closed(step, [0.5, 0.5], again=True), 3.0 + step)
    progress.window(closed(400, [0.5, 0.5]), 304.0)
    assert progress.speed == pytest.approx(200)


def test_runs_that_train_one_after_the_other() -> None:
    progress = training(2)
    for run in range(2):
        for step in (500, 1000):
            shown = WindowClosed(step, [run], [0.1], [0.5 + run / 2], range(run, 2))
            progress.window(shown, 3.0 + run * 2 + step / 500)
    assert progress.speed == pytest.approx(500)
    assert progress.task.fields["curve"] == pytest.approx([0.5, 0.5, 0.75, 0.75])
    progress = training(2)
    progress.window(WindowClosed(500, [0], [0.1], [0.5], range(2)), 4.0)
    assert progress.seconds_left(4.0) == pytest.approx(3)  # 500 steps of the first run, 1000 of the second


def test_what_is_left_is_until_runs_can_stop() -> None:
    settings = {"early_stop_acc": 0.9, "min_steps_before_stop": 400, "early_stop_windows": 3}
    progress = Progress(100_000, **settings)
    progress.begin(0.0)
    progress.prepared(2, 0.0)
    progress.window(closed(100, [0.5, 0.5]), 1.0)  # 200 run-steps a second
    assert progress.seconds_left(1.0) == pytest.approx(2 * 500 / 200), "windows 400, 500 and 600"
    progress.window(closed(400, [0.95, 0.5]), 4.0)
    assert progress.seconds_left(4.0) == pytest.approx((200 + 300) / 200)
    progress.window(closed(500, [0.5, 0.95]), 5.0)
    assert progress.seconds_left(5.0) == pytest.approx((300 + 200) / 200), "the first begins to count again"


def test_a_run_stops_at_its_settings_earliest() -> None:
    config = TaskConfig()
    closes = list(accumulate(config.window_lengths()))
    counting = [step for step in closes if step >= config.min_steps_before_stop]
    assert earliest_stop(config) == counting[config.early_stop_windows - 1] == 1750
    assert earliest_stop(config, 1500, 3) == 1750 and earliest_stop(config, 5000, 0) == 5000 + 4 * 250
    assert earliest_stop(TaskConfig(max_steps=1200)) == 1200


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1)), min_size=1, max_size=60))
def test_what_is_left_is_never_less_than_nothing(windows: list[tuple[float, float]]) -> None:
    progress, now = training(3, 6000), 3.0
    for index, (seconds, accuracy) in enumerate(windows, start=1):
        now += seconds
        progress.window(closed(100 * index, [accuracy] * 3), now)
        left = progress.seconds_left(now)
        assert left is not None and left >= 0
        assert progress.task.fields["accuracy"] == pytest.approx(accuracy)


def test_runs_of_audits_are_not_among_the_live(evaluation: Evaluation) -> None:
    noting = Noting()
    audited = evaluate("isolated_cube", **SHORT, audit="report", followers=[noting])
    assert audited.findings
    assert [list(window.live) for window in noting.windows] == [[0, 1, 2, 3]] * 4
    assert [window.step for window in noting.windows] == evaluation.curves[0].curve.step
