import io

import pytest
from clock import Clock
from equivalence import make_runs
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vecparity import TaskConfig
from vecparity.cli.progress_table import ProgressTable, duration, sparkline
from vecparity.training.progress import WindowClosed

ACCURACIES = st.lists(st.floats(0, 1), max_size=200)


def lines(table: ProgressTable, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(table.get_renderable())
    return [line.rstrip() for line in captured.get().splitlines()]


def everything(max_steps: int = 100_000, num_runs: int = 100) -> ProgressTable:
    """A configuration of each stage, with the widest figures of the full protocol."""
    clock = Clock(0.0)
    configs = [TaskConfig(n_features=n, max_steps=max_steps) for n in (128, 64, 50, 32)]
    table = ProgressTable(configs, get_time=clock)
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
    heading, done, training, preparing, waiting = lines(everything(), width)
    assert all(len(line) <= width for line in (heading, waiting, preparing, training, done))
    assert "…" not in "".join((waiting, preparing, training, done))
    assert waiting.split() == ["n32-k8", "waiting"]
    assert preparing.split() == ["n50-k8", "preparing", "0/100,000"]
    label, stage, step, live, curve, accuracy, speed, *left = training.split()
    assert (label, stage, step, live) == ("n64-k8", "training", "99,750/100,000", "100/100")
    assert (accuracy, speed, left) == ("1.000", "2,493,750", ["≤", "0:00"])
    assert curve.startswith("▁") and curve.endswith("█") and len(curve) >= 8
    assert done.split()[:5] == ["n128-k8", "done", "1:01:01", "99,750/100,000", "0/100"]


def test_what_is_known_from_the_history_needs_no_training() -> None:
    clock = Clock(0.0)
    table = ProgressTable([TaskConfig()], get_time=clock)
    table.begin(TaskConfig())
    clock.now = 0.2
    table.finish([])
    assert lines(table, 80)[1].split() == ["n32-k8", "done", "0:00"]


def test_a_line_shows_one_moment_though_the_training_goes_on() -> None:
    table = everything()
    drawn = table.make_tasks_table(table.tasks[1:2])
    curve = table.tasks[1].fields["curve"]
    curve[:] = [0.0] * len(curve)
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(drawn)
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
