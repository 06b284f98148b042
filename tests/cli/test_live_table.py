import io

import pytest
from clock import Clock
from equivalence import make_runs
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vecparity import TaskConfig
from vecparity.progress.table import ProgressTable, duration, sparkline
from vecparity.training.progress import WindowClosed

ACCURACIES = st.lists(st.floats(0, 1), max_size=200)


def console() -> Console:
    return Console(width=80, file=io.StringIO())


def lines(table: ProgressTable, width: int) -> list[str]:
    table.console.width = width
    with table.console.capture() as captured:
        table.console.print(table.get_renderable())
    return [line.rstrip() for line in captured.get().splitlines()]


def everything(max_steps: int = 100_000, num_runs: int = 100) -> ProgressTable:
    """A configuration of each stage, with the widest figures of the full protocol."""
    clock = Clock(0.0)
    configs = [TaskConfig(n_features=n, max_steps=max_steps) for n in (128, 64, 50, 32)]
    table = ProgressTable(configs, get_time=clock, console=console())
    for config, is_done in zip(configs[:2], (True, False), strict=True):
        clock.now = 0.0
        table.begin(config)
        clock.now = 1.0
        table.prepared(make_runs()[:1] * num_runs, "native")
        clock.now = 5.0
        for window in range(1, 400):
            runs = range(num_runs)
            table.window(WindowClosed(250 * window, runs, [0.1] * num_runs, [window / 399] * num_runs, runs))
        if is_done:
            clock.now = 3661.0
            table.finish([])
    table.begin(configs[2])
    clock.now = 10.0
    return table


@pytest.mark.parametrize("width", [80, 120])
def test_everything_can_be_read(width: int) -> None:
    heading, done, training, preparing, waiting, times = lines(everything(), width)
    assert all(len(line) <= width for line in (heading, waiting, preparing, training, done, times))
    assert times == "elapsed 0:10"
    assert "…" not in "".join((waiting, preparing, training, done))
    assert waiting.split() == ["n32-k8", "waiting"]
    assert preparing.split() == ["n50-k8", "preparing", "0/100,000"]
    label, stage, step, live, curve, accuracy, speed, *left = training.split()
    assert (label, stage, step, live) == ("n64-k8", "training", "99,750/100,000", "100/100")
    assert (accuracy, speed, left) == ("1.000", "2,493,750", ["≥", "0:00"])
    assert curve.startswith("▁") and curve.endswith("█") and len(curve) >= 8
    assert done.split()[:5] == ["n128-k8", "done", "1:01:01", "99,750/100,000", "0/100"]


def test_a_narrow_terminal_has_what_matters() -> None:
    table = everything()
    heading, done, training, preparing, waiting, _ = lines(table, 60)
    assert all(len(line) <= 60 for line in (heading, done, training, preparing, waiting))
    assert training.split() == ["n64-k8", "training", "99,750/100,000", "1.000", "≥", "0:00"]
    assert done.split()[:3] == ["n128-k8", "done", "1:01:01"]


def test_columns_stand_still() -> None:
    """From the first window to the last, under a title, with the least time left of all configurations."""
    clock = Clock(0.0)
    configs = [TaskConfig(max_steps=30_000), TaskConfig(n_features=50, max_steps=30_000)]
    table = ProgressTable(configs, "isolated_cube, mine, seed 42", get_time=clock, console=console())
    table.begin(configs[0])
    table.prepared(make_runs()[:1] * 100, "native")
    starts = []
    for window in range(1, 40):
        clock.now = float(window)
        runs = range(100)
        live = range(100 if window < 38 else 7)
        table.window(WindowClosed(250 * window, runs, [0.1] * 100, [0.5] * 100, live))
        title, heading, training, *_, times = lines(table, 100)
        assert title == "isolated_cube, mine, seed 42"
        starts.append([heading.index(name) for name in ("training accuracy", "run-steps/s")])
        if window == 1:  # 25,000 run-steps a second: at the earliest, runs stop at step 1,750
            assert training.endswith("≥ 0:06") and times == "elapsed 0:01, at least 0:13 left in all"
    assert len(set(map(tuple, starts))) == 1


def test_what_is_known_from_the_history_needs_no_training() -> None:
    clock = Clock(0.0)
    table = ProgressTable([TaskConfig()], get_time=clock, console=console())
    table.begin(TaskConfig())
    clock.now = 0.2
    table.finish([])
    assert lines(table, 80)[1].split() == ["n32-k8", "done", "0:00"]


def test_a_line_shows_one_moment_though_the_training_goes_on() -> None:
    table = everything()
    drawn = table.make_tasks_table(table.tasks[1:2])
    curve = table.tasks[1].fields["curve"]
    curve[:] = [0.0] * len(curve)
    with table.console.capture() as captured:
        table.console.print(drawn)
    assert "█" in captured.get() and "1.000" in captured.get()


def test_a_wider_terminal_has_a_longer_curve() -> None:
    assert lines(everything(), 120)[2].count("▁") > lines(everything(), 80)[2].count("▁")


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.0, 7.4, 60.0, 3599.6, 3723.0)] == [
        "0:00",
        "0:07",
        "1:00",
        "1:00:00",
        "1:02:03",
    ]


def test_a_curve_from_chance_to_all_right() -> None:
    assert sparkline([0.0, 0.5, 0.57, 0.75, 0.99, 1.0], 10) == "▁▁▂▅██"
    assert sparkline([0.5, 0.5, 1.0, 1.0], 2) == "▁█"
    assert sparkline([], 10) == ""


@given(ACCURACIES, st.integers(0, 80))
def test_a_curve_fits_and_keeps_order(accuracy: list[float], width: int) -> None:
    assert len(sparkline(accuracy, width)) == min(len(accuracy), width)
    rising = sparkline(sorted(accuracy), width)
    assert list(rising) == sorted(rising)
