from collections.abc import Sequence

import pytest
from conftest import SHORT
from hypothesis import given
from hypothesis import strategies as st
from noting import Noting

from vecparity import Evaluation, evaluate
from vecparity.cli.progress_table import Headway
from vecparity.training.progress import WindowClosed


def closed(
    step: int, accuracy: Sequence[float], live: Sequence[int] | None = None, again: bool = False
) -> WindowClosed:
    runs = range(len(accuracy))
    return WindowClosed(step, runs, [0.1] * len(runs), accuracy, runs if live is None else live, is_shown_again=again)


def training(num_runs: int, max_steps: int = 1000) -> Headway:
    headway = Headway("n32-k8", max_steps)
    headway.begin(0.0)
    headway.begin_training(num_runs, 3.0)
    return headway


def test_a_training_from_its_beginning_to_its_end() -> None:
    headway = Headway("n32-k8", 1000)
    assert (headway.stage, headway.run_steps_per_second, headway.seconds_left(0.0)) == ("waiting", None, None)
    headway.begin(0.0)
    assert headway.stage == "preparing"
    headway.begin_training(2, 3.0)
    assert (headway.stage, headway.num_live, headway.seconds_left(3.0)) == ("training", 2, None)
    headway.window(closed(100, [0.5, 0.6]), 4.0)
    assert headway.run_steps_per_second == pytest.approx(200)
    assert headway.seconds_left(4.0) == pytest.approx(9)  # two runs, 900 steps each
    assert headway.seconds_left(6.0) == pytest.approx(7)
    assert headway.seconds_left(60.0) == 0
    headway.window(closed(200, [0.7, 1.0], live=[0]), 5.0)
    assert headway.num_live == 1
    assert headway.seconds_left(5.0) == pytest.approx(4)
    headway.window(WindowClosed(300, [0], [0.1], [0.8], [0]), 6.0)
    assert headway.accuracy == pytest.approx([0.55, 0.85, 0.9]), "a run that stopped counts with its last window"
    headway.finish(7.0)
    assert (headway.stage, headway.seconds, headway.num_live, headway.seconds_left(7.0)) == ("done", 7.0, 0, None)
    assert headway.run_steps_per_second == pytest.approx(500 / 3)


def test_speed_is_that_of_the_last_seconds() -> None:
    headway = training(1, 100_000)
    for second in range(1, 31):
        headway.window(closed(100 * second if second <= 15 else 10 * second + 1350, [0.5]), 3.0 + second)
    assert headway.run_steps_per_second == pytest.approx(10)


def test_windows_shown_again_are_no_speed() -> None:
    headway = training(2)
    for step in (100, 200, 300):
        headway.window(closed(step, [0.5, 0.5], again=True), 3.0)
    assert (headway.step, len(headway.accuracy), headway.seconds_left(3.0)) == (300, 3, None)
    headway.window(closed(400, [0.5, 0.5]), 4.0)
    assert headway.run_steps_per_second == pytest.approx(200)


def test_runs_that_train_one_after_the_other() -> None:
    headway = training(2)
    for run in range(2):
        for step in (500, 1000):
            shown = WindowClosed(step, [run], [0.1], [0.5 + run / 2], range(run, 2))
            headway.window(shown, 3.0 + run * 2 + step / 500)
    assert headway.run_steps_per_second == pytest.approx(500)
    assert headway.accuracy == pytest.approx([0.5, 0.5, 0.75, 0.75])
    headway = training(2)
    headway.window(WindowClosed(500, [0], [0.1], [0.5], range(2)), 4.0)
    assert headway.seconds_left(4.0) == pytest.approx(3)  # 500 steps of the first run, 1000 of the second


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1)), min_size=1, max_size=60))
def test_what_is_left_is_never_less_than_nothing(windows: list[tuple[float, float]]) -> None:
    headway, now = training(3, 6000), 3.0
    for index, (seconds, accuracy) in enumerate(windows, start=1):
        now += seconds
        headway.window(closed(100 * index, [accuracy] * 3), now)
        left = headway.seconds_left(now)
        assert left is not None and left >= 0
        assert headway.accuracy[-1] == pytest.approx(accuracy)


def test_runs_of_audits_are_not_among_the_live(evaluation: Evaluation) -> None:
    noting = Noting()
    audited = evaluate("isolated_cube", **SHORT, audit="report", followers=[noting])
    assert audited.findings
    assert [list(window.live) for window in noting.windows] == [[0, 1, 2, 3]] * 4
    assert [window.step for window in noting.windows] == evaluation.curves[0].curve.step
