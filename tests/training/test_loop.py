from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from conftest import CPU
from equivalence import make_runs, train_silently
from scripted import STOPPING, ScriptedEngine, numbered_runs

from vecparity.errors import MachineError
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.engines.native import NativeEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.loop import Trained, WindowClosed, train
from vecparity.training.schedule import Window


def scripted(
    accuracies: Sequence[Sequence[float]], diverges: dict[int, int] | None = None
) -> tuple[list[Trained], ScriptedEngine, list[WindowClosed]]:
    engine = ScriptedEngine(accuracies, diverges)
    closed: list[WindowClosed] = []
    ends = train(numbered_runs(len(accuracies)), STOPPING, engine, [CPU], torch.float32, closed.append)
    return ends, engine, closed


def test_runs_stop_as_the_contract_says() -> None:
    # Windows close at steps 1, 5, 10, 15, 20, 25 and 30; none before step 10 counts.
    ends, engine, closed = scripted(
        [
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],  # counts at 10 and 15
            [0.0, 0.0, 0.9, 0.8, 0.9, 0.9, 0.0],  # exactly the threshold counts; 15 starts anew; 20 and 25
            [1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0],  # never twice in succession
            [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],  # at the very end
        ]
    )
    assert [end.steps for end in ends] == [15, 25, 30, 30]
    assert engine.live == [[0, 1, 2, 3]] * 4 + [[1, 2, 3]] * 2 + [[2, 3]]
    assert [window.step for window in closed] == [1, 5, 10, 15, 20, 25, 30]
    assert [window.num_live for window in closed] == [4, 4, 4, 3, 3, 2, 1]
    assert closed[4].runs == [1, 2, 3]
    assert ends[1].curve.step == [1, 5, 10, 15, 20, 25]
    assert ends[1].curve.accuracy == [0.0, 0.0, 0.9, 0.8, 0.9, 0.9]


def test_training_ends_with_the_last_live_run() -> None:
    _, engine, _ = scripted([[1.0] * 7, [1.0] * 7])
    assert len(engine.live) == 4


def test_a_diverged_run_is_dropped_and_has_no_score() -> None:
    ends, engine, closed = scripted([[0.0] * 7, [0.5] * 7], diverges={0: 8})
    assert (ends[0].steps, ends[0].test_accuracy, ends[0].diverged) == (8, None, True)
    assert ends[0].curve.step == [1, 5]  # the window in which it diverged never closed for it
    assert not ends[1].diverged
    assert engine.live[3] == [1]
    assert closed[2].runs == [1]


def test_a_run_that_diverges_at_once() -> None:
    ends, _, closed = scripted([[0.0] * 7], diverges={0: 1})
    assert (ends[0].steps, ends[0].diverged) == (1, True)
    assert (closed[0].runs, closed[0].num_live, len(closed)) == ([], 0, 1)


LONG_WINDOWS = replace(STOPPING, max_steps=1300, log_interval=600, min_steps_before_stop=10**6)


def test_long_windows_are_trained_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watching(NativeEngine):
        def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
            seen.append(window.num_steps)
            return super().advance(ensemble, window)

    runs = make_runs()[2:4]
    pieces = train_silently(runs, LONG_WINDOWS, Watching(), torch.float32)
    assert seen == [1, 250, 250, 99, 250, 250, 100, 100]
    monkeypatch.setattr("vecparity.training.schedule._MOST_STEPS", 10**6)
    whole = train_silently(runs, LONG_WINDOWS, Watching(), torch.float32)
    assert seen[8:] == [1, 599, 600, 100]
    for ours, expected in zip(pieces, whole, strict=True):
        assert ours.curve.step == expected.curve.step == [1, 600, 1200, 1300]
        assert ours.curve.accuracy == expected.curve.accuracy
        assert ours.curve.loss == pytest.approx(expected.curve.loss, rel=1e-14)
        assert ours.test_accuracy == expected.test_accuracy


def test_a_run_may_diverge_in_any_piece_of_a_window() -> None:
    for step in (2, 251, 252, 500, 600, 601, 1300):
        engine = ScriptedEngine([[0.0] * 8, [0.5] * 8], diverges={0: step})
        ends = train(numbered_runs(2), LONG_WINDOWS, engine, [CPU], torch.float32, lambda closed: None)
        assert (ends[0].steps, ends[0].diverged, ends[1].steps) == (step, True, 1300)


class IdleEngine(ScriptedEngine):
    """Looks at nothing."""

    def __init__(self) -> None:
        super().__init__([])

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        ensemble.step += window.num_steps
        sums = torch.full((ensemble.num_runs,), window.num_steps / 2, dtype=torch.float64)
        return WindowMetrics(sums, sums, torch.full((ensemble.num_runs,), window.num_steps))


def test_the_host_waits_for_a_device_once_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[str] = []
    for name in ("tolist", "item", "cpu", "__bool__", "__int__", "__float__", "__index__"):
        look = getattr(torch.Tensor, name)

        def counting(tensor: torch.Tensor, *, name: str = name, look: Any = look) -> Any:
            waits.append(name)
            return look(tensor)

        monkeypatch.setattr(torch.Tensor, name, counting)
    runs, at_windows = numbered_runs(3), list[int]()
    config = replace(STOPPING, log_interval=10, early_stop_acc=2)
    train(runs, config, IdleEngine(), [CPU], torch.float32, lambda closed: at_windows.append(len(waits)))
    assert [after - before for before, after in pairwise(at_windows)] == [1, 1, 1]
    assert len(waits) - at_windows[-1] == 2  # the scores, and all else that is told of runs that end


def test_windows_are_told_of_while_the_next_one_trains_where_the_host_need_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []

    class Noting(ScriptedEngine):
        def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
            events.append(f"train to {ensemble.step + window.num_steps}")
            return super().advance(ensemble, window)

    def trained(reads_later: bool) -> list[str]:
        events.clear()
        config = replace(STOPPING, max_steps=10, log_interval=5)
        engine = Noting([[0.5] * 3] * 2)
        arguments = numbered_runs(2), config, engine, [CPU], torch.float32
        train(*arguments, lambda closed: events.append(f"tell {closed.step}"), reads_later=reads_later)
        return list(events)

    assert trained(False) == ["train to 1", "tell 1", "train to 5", "tell 5", "train to 10", "tell 10"]
    assert trained(True) == ["train to 1", "train to 5", "tell 1", "train to 10", "tell 5", "tell 10"]


def test_a_window_that_closed_is_told_of_whatever_comes_next() -> None:
    class Failing(ScriptedEngine):
        def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
            if ensemble.step == 5:
                raise MachineError("out of memory")
            return super().advance(ensemble, window)

    told: list[int] = []
    with pytest.raises(MachineError):
        train(
            *(numbered_runs(2), STOPPING, Failing([[0.5] * 3] * 2), [CPU], torch.float32),
            lambda closed: told.append(closed.step),
            reads_later=True,
        )
    assert told == [1, 5]
