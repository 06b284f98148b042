"""Runs distributed among devices; the CPU, listed two or more times, stands in for several devices."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU
from equivalence import CONFIG, diverging, make_runs
from scripted import STOPPING, ScriptedEngine, numbered_runs

from vecparity.api import evaluate_many
from vecparity.errors import InterruptedTrainingError, UsageError
from vecparity.evaluation import pipeline
from vecparity.evaluation.options import Options
from vecparity.training import schedule
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.checkpoints.snapshot_coherence import Training
from vecparity.training.engines.interface import Engine, FetchedMetrics, WindowMetrics
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.loop import Trained, WindowClosed, train
from vecparity.training.runs import Run
from vecparity.training.schedule import Window

# Some runs stop early, at different windows.
SETTINGS = replace(
    CONFIG, max_steps=200, log_interval=10, min_steps_before_stop=20, early_stop_acc=0.75, early_stop_windows=2
)


def some_runs() -> list[Run]:
    runs = make_runs(SETTINGS)
    return [*runs[:5], diverging(runs[5]), *runs[6:]]


def on_devices(
    count: int, runs: list[Run], engine: Engine | None = None, reads_later: bool | None = None
) -> tuple[list[Trained], list[WindowClosed]]:
    closed: list[WindowClosed] = []
    arguments = runs, SETTINGS, engine or NativeEngine(), [CPU] * count, torch.float32, closed.append
    ends = train(*arguments, reads_later=reads_later)
    return ends, closed


@pytest.mark.parametrize("reads_later", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_the_result_is_bitwise_that_of_one_device(count: int, reads_later: bool) -> None:
    runs = some_runs()
    expected = on_devices(1, runs)
    assert len({end.steps for end in expected[0]}) > 3  # fewer runs go on than began, and not in all parts alike
    assert any(end.diverged for end in expected[0])
    assert on_devices(count, runs, reads_later=reads_later) == expected


def test_every_device_has_its_share_in_order() -> None:
    shares: list[tuple[int, list[int]]] = []

    class Noting(ScriptedEngine):
        def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
            shares.append((ensemble.step, [round(lr) for lr in ensemble.lr.tolist()]))
            return super().advance(ensemble, window)

        def test(self, params: torch.Tensor, *arguments: Any) -> torch.Tensor:
            return params[:, 0].double()

    runs = numbered_runs(5)
    # Each run's window is the number of calls so far: all that matters is that run 0 and 1 stop together at step 15.
    engine = Noting([[0.95] * 99] * 2 + [[0.5] * 99] * 3)
    ends = train(runs, STOPPING, engine, [CPU, CPU], torch.float32, lambda closed: None)
    assert shares[:4] == [(0, [0, 1]), (0, [2, 3, 4]), (1, [0, 1]), (1, [2, 3, 4])]
    assert shares[-1] == (25, [2, 3, 4])  # a device without runs does nothing
    assert [end.steps for end in ends] == [15, 15, 30, 30, 30]
    assert [end.test_accuracy for end in ends] == [float(run.params[0]) for run in runs]  # each network is its run's


def test_vmap_trains_on_several_devices() -> None:
    """Other numbers of runs together round otherwise: the metrics agree to a tolerance."""
    runs = make_runs(SETTINGS)[:4]
    for ours, expected in zip(on_devices(2, runs, VmapEngine())[0], on_devices(1, runs, VmapEngine())[0], strict=True):
        assert ours.curve.loss == pytest.approx(expected.curve.loss, rel=1e-4)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (2, 3)])
@pytest.mark.parametrize("reads_later", [False, True])
def test_a_training_goes_on_on_another_number_of_devices(
    before: int, after: int, reads_later: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "_MOST_STEPS", 3)
    runs = some_runs()
    expected = on_devices(1, runs, reads_later=reads_later)
    pieces = iter(range(1, 1000))
    with closing(Checkpoints(tmp_path, "t", {}, seconds=1000)) as checkpoints:
        checkpoints.begin(runs)
        arguments = (runs, SETTINGS, NativeEngine(), [CPU] * before, torch.float32)
        with pytest.raises(InterruptedTrainingError):  # in the middle of a window, when runs have stopped
            train(*arguments, lambda closed: None, checkpoints, lambda: next(pieces) == 33, reads_later=reads_later)
    with closing(Checkpoints(tmp_path, "t", {})) as checkpoints:
        found = checkpoints.resume(Training(SETTINGS, torch.float32))
        assert found is not None
        assert checkpoints.state is not None
        assert "sums.loss" in checkpoints.state.tensors
        assert 1 < len(checkpoints.state.values["live"]) < len(runs)
        closed: list[WindowClosed] = []
        resumed = found, SETTINGS, NativeEngine(), [CPU] * after, torch.float32, closed.append, checkpoints
        ends = train(*resumed, reads_later=reads_later)
        assert (ends, closed) == expected


def test_a_window_is_read_once_the_next_is_on_its_way_unless_a_run_may_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    read = FetchedMetrics.read

    def noting_read(metrics: FetchedMetrics) -> Any:
        events.append("read")
        return read(metrics)

    monkeypatch.setattr(FetchedMetrics, "read", noting_read)

    class Noting(ScriptedEngine):
        def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
            events.append(f"train to {ensemble.step + window.num_steps}")
            return super().advance(ensemble, window)

    # Windows close at 1, 5, 10, ...; from 10 on one counts that is good, and two of them stop a run.
    engine = Noting([[0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0], [0.0] * 7])
    arguments = numbered_runs(2), STOPPING, engine, [CPU], torch.float32, lambda closed: None
    ends = train(*arguments, reads_later=True)
    assert [end.steps for end in ends] == [25, 30]
    # After 10, run 0 may stop at 15; after 20, at 25.
    assert events == [
        *("train to 1", "train to 5", "read", "train to 10", "read", "train to 15", "read", "read"),
        *("train to 20", "train to 25", "read", "read", "train to 30", "read"),
    ]


def test_a_run_that_diverged_trains_nothing_until_that_is_read() -> None:
    engine = ScriptedEngine([[0.0] * 7, [0.5] * 7], diverges={0: 3})
    closed: list[WindowClosed] = []
    arguments = numbered_runs(2), STOPPING, engine, [CPU], torch.float32, closed.append
    ends = train(*arguments, reads_later=True)
    assert (ends[0].steps, ends[0].test_accuracy, ends[1].steps) == (3, None, 30)
    assert engine.live == [[0, 1]] * 3 + [[1]] * 4  # diverged in the second, known in the third
    assert [window.runs for window in closed] == [[0, 1], *[[1]] * 6]


def test_an_evaluation_shares_its_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [("isolated_cube", 42), ("default_4096", 1)]
    arguments = {"smoke": True, "max_steps": 300, "min_steps_before_stop": 100, "device": "cpu", "containment": "none"}

    def evaluated() -> list[Any]:
        made = evaluate_many(jobs, **arguments)  # type: ignore[arg-type]
        return [replace(one, provenance=replace(one.provenance, wall_seconds=0)) for one in made]

    expected = evaluated()
    sizes: list[int] = []

    class Noting(NativeEngine):
        def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
            sizes.append(ensemble.num_runs)
            return super().advance(ensemble, window)

    monkeypatch.setattr(pipeline, "make_engine", lambda name, chunk_runs: Noting())
    monkeypatch.setattr(pipeline, "devices_of", lambda engine, name: [CPU] * 3)
    assert evaluated() == expected
    assert sizes[:3] == [2, 3, 3]


def test_the_reference_trains_on_one_device() -> None:
    with pytest.raises(UsageError, match="reference engine trains on one device, got cuda:all"):
        Options(engine="reference", device="cuda:all")
