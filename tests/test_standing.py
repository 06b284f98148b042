from collections.abc import Sequence

import pytest
from conftest import SHORT
from hypothesis import given
from hypothesis import strategies as st

from vecparity import Evaluation, evaluate
from vecparity.progress import WindowClosed
from vecparity.standing import Standing


def closed(
    step: int, accuracy: Sequence[float], live: Sequence[int] | None = None, again: bool = False
) -> WindowClosed:
    runs = range(len(accuracy))
    return WindowClosed(step, runs, [0.1] * len(runs), accuracy, runs if live is None else live, is_shown_again=again)


def training(num_runs: int, max_steps: int = 1000) -> Standing:
    standing = Standing("n32-k8", max_steps)
    standing.begin(0.0)
    standing.begin_training(num_runs, 3.0)
    return standing


def test_a_training_from_its_beginning_to_its_end() -> None:
    standing = Standing("n32-k8", 1000)
    assert (standing.stage, standing.run_steps_per_second, standing.seconds_left(0.0)) == ("waiting", None, None)
    standing.begin(0.0)
    assert standing.stage == "preparing"
    standing.begin_training(2, 3.0)
    assert (standing.stage, standing.num_live, standing.seconds_left(3.0)) == ("training", 2, None)
    standing.window(closed(100, [0.5, 0.6]), 4.0)
    assert standing.run_steps_per_second == pytest.approx(200)
    assert standing.seconds_left(4.0) == pytest.approx(9)  # two runs, 900 steps each
    assert standing.seconds_left(6.0) == pytest.approx(7)
    assert standing.seconds_left(60.0) == 0
    standing.window(closed(200, [0.7, 1.0], live=[0]), 5.0)
    assert standing.num_live == 1
    assert standing.seconds_left(5.0) == pytest.approx(4)
    standing.window(WindowClosed(300, [0], [0.1], [0.8], [0]), 6.0)
    assert standing.accuracy == pytest.approx([0.55, 0.85, 0.9]), "a run that stopped counts with its last window"
    standing.finish(7.0)
    assert (standing.stage, standing.seconds, standing.num_live, standing.seconds_left(7.0)) == ("done", 7.0, 0, None)
    assert standing.run_steps_per_second == pytest.approx(500 / 3)


def test_speed_is_that_of_the_last_seconds() -> None:
    standing = training(1, 100_000)
    for second in range(1, 31):
        standing.window(closed(100 * second if second <= 15 else 10 * second + 1350, [0.5]), 3.0 + second)
    assert standing.run_steps_per_second == pytest.approx(10)


def test_windows_shown_again_are_no_speed() -> None:
    standing = training(2)
    for step in (100, 200, 300):
        standing.window(closed(step, [0.5, 0.5], again=True), 3.0)
    assert (standing.step, len(standing.accuracy), standing.seconds_left(3.0)) == (300, 3, None)
    standing.window(closed(400, [0.5, 0.5]), 4.0)
    assert standing.run_steps_per_second == pytest.approx(200)


def test_runs_that_train_one_after_the_other() -> None:
    standing = training(2)
    for run in range(2):
        for step in (500, 1000):
            shown = WindowClosed(step, [run], [0.1], [0.5 + run / 2], range(run, 2))
            standing.window(shown, 3.0 + run * 2 + step / 500)
    assert standing.run_steps_per_second == pytest.approx(500)
    assert standing.accuracy == pytest.approx([0.5, 0.5, 0.75, 0.75])
    standing = training(2)
    standing.window(WindowClosed(500, [0], [0.1], [0.5], range(2)), 4.0)
    assert standing.seconds_left(4.0) == pytest.approx(3)  # 500 steps of the first run, 1000 of the second


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1)), min_size=1, max_size=60))
def test_what_is_left_is_never_less_than_nothing(windows: list[tuple[float, float]]) -> None:
    standing, now = training(3, 6000), 3.0
    for index, (seconds, accuracy) in enumerate(windows, start=1):
        now += seconds
        standing.window(closed(100 * index, [accuracy] * 3), now)
        left = standing.seconds_left(now)
        assert left is not None and left >= 0
        assert standing.accuracy[-1] == pytest.approx(accuracy)


def test_runs_of_audits_are_not_among_the_live(evaluation: Evaluation) -> None:
    windows: list[WindowClosed] = []
    audited = evaluate("isolated_cube", **SHORT, audit="report", on_window=windows.append)
    assert audited.findings
    assert [list(window.live) for window in windows] == [[0, 1, 2, 3]] * 4
    assert [window.step for window in windows] == evaluation.curves[0].curve.step
