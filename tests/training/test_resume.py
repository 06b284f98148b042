"""Interrupted trainings: wherever and however interrupted, they end bitwise as if uninterrupted."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from conftest import CPU
from equivalence import CONFIG, ENGINES, diverging, make_runs
from processes import Child
from scripted import STOPPING, ScriptedEngine, numbered_runs

from vecparity.errors import InterruptedTrainingError, UsageError
from vecparity.task.config import TaskConfig
from vecparity.training.checkpoints import snapshot
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.checkpoints.snapshot_coherence import Training
from vecparity.training.engines.interface import Engine
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.loop import Trained, WindowClosed, train
from vecparity.training.runs import Run

# Runs stop at different windows, one diverges, and pieces (below) end in the middle of windows.
SETTINGS = replace(
    CONFIG, max_steps=60, log_interval=7, min_steps_before_stop=10, early_stop_acc=0.6, early_stop_windows=2
)
MOST_STEPS = 3
PIECES = 26

Outcome = tuple[list[Trained], list[WindowClosed]]


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecparity.training.schedule._MOST_STEPS", MOST_STEPS)


def some_runs() -> list[Run]:
    runs = make_runs(SETTINGS)
    return [*runs[:5], diverging(runs[5]), *runs[6:]]


def whole(
    engine: Engine, runs: list[Run], config: TaskConfig = SETTINGS, dtype: torch.dtype = torch.float32
) -> Outcome:
    closed: list[WindowClosed] = []
    return train(runs, config, engine, [CPU], dtype, closed.append), closed


def after(pieces: int) -> Callable[[], bool]:
    """Requests a stop after so many pieces."""
    left = [pieces]

    def stop_requested() -> bool:
        left[0] -= 1
        return left[0] == 0

    return stop_requested


def attempt(
    directory: Path,
    engine: Engine,
    runs: list[Run],
    pieces: int,
    config: TaskConfig = SETTINGS,
    dtype: torch.dtype = torch.float32,
) -> Outcome | None:
    """Goes on, as another process would, for so many pieces; returns None if it was interrupted then."""
    closed: list[WindowClosed] = []
    with closing(Checkpoints(directory, "t", {}, seconds=1000)) as checkpoints:
        found = checkpoints.resume(Training(config, dtype))
        if found is None:
            checkpoints.begin(runs)
        try:
            ends = train(found or runs, config, engine, [CPU], dtype, closed.append, checkpoints, after(pieces))
        except InterruptedTrainingError:
            return None
    return ends, closed


def in_attempts(
    directory: Path, make_engine: Callable[[], Engine], runs: list[Run], *pieces: int, **how: Any
) -> Outcome:
    """Interrupted after each number of pieces, then not again (0)."""
    for count in pieces:
        assert attempt(directory, make_engine(), runs, count, **how) is None
    outcome = attempt(directory, make_engine(), runs, 0, **how)
    assert outcome is not None
    return outcome


def test_the_comparisons_cover_what_may_happen() -> None:
    ends, closed = whole(NativeEngine(), some_runs())
    assert len({end.steps for end in ends}) >= 4
    assert sum(end.diverged for end in ends) == 1
    assert len(closed) == 10
    assert any(end.steps == SETTINGS.max_steps for end in ends)


# Interrupted dozens of times.
EACH_ENGINE = [pytest.param(name, marks=[pytest.mark.slow] * (name != "native-baseline")) for name in ENGINES]


@pytest.mark.parametrize("name", EACH_ENGINE)
def test_interrupted_after_any_piece(tmp_path: Path, name: str) -> None:
    runs, engine = some_runs(), ENGINES[name]()
    expected = whole(engine, runs)
    every = 5 if name == "vmap" else 1  # it takes its time
    for pieces in range(1, PIECES + 1, every):  # at steps 1, 4, 7, 10, 13, 14, ...
        directory = tmp_path / str(pieces)
        assert attempt(directory, engine, runs, pieces) is None
        assert attempt(directory, engine, runs, 0) == expected, pieces
    assert attempt(tmp_path / "end", engine, runs, PIECES + 1) == expected  # there is none to stop after


@pytest.mark.parametrize("name", EACH_ENGINE)
def test_interrupted_after_every_piece(tmp_path: Path, name: str) -> None:
    runs = some_runs()
    assert in_attempts(tmp_path, ENGINES[name], runs, *[1] * PIECES) == whole(ENGINES[name](), runs)


@pytest.mark.slow
def test_float64(tmp_path: Path) -> None:
    runs, expected = some_runs(), whole(VmapEngine(), some_runs(), dtype=torch.float64)
    assert in_attempts(tmp_path, VmapEngine, runs, 4, 9, dtype=torch.float64) == expected


@pytest.mark.slow
def test_orderings_by_torch(tmp_path: Path, without_native: None) -> None:
    runs = some_runs()
    assert in_attempts(tmp_path, VmapEngine, runs, 4, 9) == whole(VmapEngine(), runs)


def test_a_training_that_ended_is_not_trained_again(tmp_path: Path) -> None:
    runs = some_runs()
    expected = in_attempts(tmp_path, NativeEngine, runs)

    class Resting(NativeEngine):
        def advance(self, *arguments: Any) -> Any:
            raise AssertionError("there is nothing left to train")

    assert in_attempts(tmp_path, Resting, runs) == expected


def test_no_steps_at_all(tmp_path: Path) -> None:
    runs, config = some_runs(), replace(SETTINGS, max_steps=0)
    expected = whole(NativeEngine(), runs, config)
    for _ in range(2):
        assert in_attempts(tmp_path, NativeEngine, runs, config=config) == expected
    assert expected[1] == []


def test_windows_are_shown_again_even_where_all_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecparity.training.schedule._MOST_STEPS", 250)
    shares = [[1.0, 1.0, 1.0, 1.0, 1.0], [0.0] * 5, [1.0, 0.9, 0.0, 0.9, 0.9]]

    def outcome(pieces: int) -> Outcome | None:
        engine = ScriptedEngine(shares, diverges={1: 8, 0: 13, 2: 14})
        return attempt(tmp_path, engine, numbered_runs(3), pieces, replace(STOPPING, early_stop_windows=9))

    first = outcome(0)
    assert first is not None
    assert [(window.runs, window.num_live) for window in first[1]] == [
        ([0, 1, 2], 3),
        ([0, 1, 2], 3),
        ([0, 2], 2),
        ([], 0),
    ]
    assert outcome(0) == first


FORGOTTEN = ["params", "exp_avg", "exp_avg_sq", "active", "sums.loss", "sums.accuracy", "sums.num_batches"]


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_forgotten_tensor_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    of_progress = snapshot.of_progress

    def forgetful(*arguments: Any) -> snapshot.Snapshot:
        kept = of_progress(*arguments)
        wrong = {key: torch.zeros_like(tensor) for key, tensor in kept.tensors.items() if key == name}
        return snapshot.Snapshot(kept.values, kept.tensors | wrong)

    runs = some_runs()
    expected = whole(NativeEngine(), runs)
    pieces = 2  # at step 4, in the middle of a window
    assert in_attempts(tmp_path / "right", NativeEngine, runs, pieces) == expected
    monkeypatch.setattr(snapshot, "of_progress", forgetful)
    if name in ("active", "sums.num_batches"):  # each tells of the other
        with pytest.raises(
            UsageError, match=r"expected sums\.num_batches: all batches of exactly the active runs, got"
        ):
            in_attempts(tmp_path / "wrong", NativeEngine, runs, pieces)
    else:
        assert in_attempts(tmp_path / "wrong", NativeEngine, runs, pieces) != expected


# What would be kept at step 48 had it been forgotten.
FORGOTTEN_VALUES = {"step": 45, "opened": 35, "good_windows": [0] * 9, "trained": [], "live": list(range(9))}


@pytest.mark.parametrize("name", FORGOTTEN_VALUES)
def test_a_forgotten_value_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    of_progress, seen = snapshot.of_progress, []

    def forgetful(*arguments: Any) -> snapshot.Snapshot:
        kept = of_progress(*arguments)
        seen.append((kept.values["step"], kept.values[name]))
        return snapshot.Snapshot(kept.values | {name: FORGOTTEN_VALUES[name]}, kept.tensors)

    runs = some_runs()
    monkeypatch.setattr(snapshot, "of_progress", forgetful)
    assert attempt(tmp_path, NativeEngine(), runs, 20) is None
    assert seen[0][0] == 48 and seen[0][1] != FORGOTTEN_VALUES[name]
    with pytest.raises(UsageError, match=r"t-[0-9a-f]{16}\.state-000001\.json: expected "):
        attempt(tmp_path, NativeEngine(), runs, 0)


@pytest.mark.slow
def test_a_chunk_that_was_halved_stays_so(tmp_path: Path) -> None:
    """A resumed training keeps the chunk size, because vmap's rounding depends on the runs that train together."""
    runs = some_runs()
    halved = VmapEngine(4)
    assert attempt(tmp_path, halved, runs, 5) is None
    fresh = VmapEngine()
    assert attempt(tmp_path, fresh, runs, 0) == whole(VmapEngine(4), runs)
    assert fresh.chunk_runs == 4


def test_what_is_said_of_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = some_runs()
    arguments = (runs, SETTINGS, NativeEngine(), [CPU], torch.float32, lambda closed: None)
    with pytest.raises(
        InterruptedTrainingError, match=r"^interrupted at step 4: progress is lost without --checkpoint DIR$"
    ):
        train(*arguments, stop_requested=after(2))
    directory = tmp_path / "made" / "checkpoints"
    checkpoints = Checkpoints(directory, "t", {})
    checkpoints.begin(runs)
    go_on = f"resume from step 4 with --checkpoint {directory} --resume"
    with pytest.raises(InterruptedTrainingError, match=rf"^interrupted at step 4: {go_on}$") as raised:
        train(*arguments, checkpoints, after(2))
    assert raised.value.exit_status == 75
    directory.parent.rename(tmp_path / "elsewhere")
    with (
        pytest.warns(UserWarning, match="no checkpoint could be written"),
        pytest.raises(InterruptedTrainingError) as said,
    ):
        train(*arguments, checkpoints, after(3))
    assert str(said.value) == f"interrupted at step 7: {go_on}"  # if the directory comes back
    checkpoints.close()


DRIVER = [sys.executable, str(Path(__file__).parents[1] / "killed_training.py")]


@cache
def uninterrupted(name: str) -> bytes:
    with TemporaryDirectory() as directory:
        subprocess.run([*DRIVER, name, directory], check=True, stdout=subprocess.DEVNULL)
        return Path(directory, "results.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["native", "vmap"])
def test_killed_at_fifty_moments(tmp_path: Path, name: str) -> None:
    expected = uninterrupted(name)
    killed = subprocess.run([*DRIVER, name, str(tmp_path), "50", "0.2"], check=True, stdout=subprocess.PIPE)
    counts = json.loads(killed.stdout.splitlines()[-1])
    assert counts["kills"] >= 50
    assert counts["torn_writes"] >= 5, "no write was killed: other moments are to be tried"
    results = [directory / "results.json" for directory in tmp_path.glob("killed-*")]
    assert len(results) == counts["trainings"]
    for path in results:
        assert path.read_bytes() == expected, path


def kill_processes(name: str, directory: Path, least: int, spread: float) -> None:
    """Kills so many whole processes, each some seconds after its first steps, and compares what others end with."""
    expected = uninterrupted(name)
    kills, trainings, chance = 0, 0, random.Random(name)
    while kills < least:
        trainings += 1
        results = directory / str(trainings) / "results.json"
        while not results.exists():
            with Child([*DRIVER, name, str(results.parent)], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()  # it says when it has begun
                if kills < least:
                    time.sleep(chance.uniform(0, spread))
                    process.kill()
            assert process.returncode in (0, -signal.SIGKILL)
            kills += not results.exists()
        assert results.read_bytes() == expected, results


@pytest.mark.slow
@pytest.mark.parametrize(("name", "spread"), [("native", 1.0), ("vmap", 3.0)])
def test_processes_killed(tmp_path: Path, name: str, spread: float) -> None:
    kill_processes(name, tmp_path, 3, spread)


@pytest.mark.slow
@pytest.mark.gpu
def test_processes_killed_on_cuda(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    kill_processes("triton", tmp_path, 50, 2.0)
