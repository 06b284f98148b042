"""Curves written for TensorBoard, read back by TensorBoard's own reader."""

from pathlib import Path
from typing import Any

import pytest
from conftest import RunEval
from disks import mounted, needs_mount
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from vecparity import Evaluation
from vecparity.cli import event_file, tensorboard
from vecparity.cli.tensorboard import TensorBoardLog
from vecparity.errors import UsageError
from vecparity.evaluation import serialization
from vecparity.strategy.source import load

# Runs stop at different windows.
SETTINGS = (
    "--num-hidden-secrets 2 --num-orderings 2 --max-steps 60 --log-interval 10 --min-steps-before-stop 10 "
    "--early-stop-acc 0.53 --early-stop-windows 1 --hidden-width 16 --test-set-size 64"
)


def scalars(directory: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values of every tag in a directory."""
    reader = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    reader.Reload()
    read = {tag: reader.Scalars(tag) for tag in reader.Tags()["scalars"]}
    return {tag: ([event.step for event in events], [event.value for event in events]) for tag, events in read.items()}


def assert_shows(directory: Path, evaluation: Evaluation) -> None:
    """Checks that TensorBoard's files hold the evaluation's curves, of each run and over all runs."""
    read = scalars(directory)
    for run_curve in evaluation.curves:
        name = f"secret{run_curve.secret_index}-order{run_curve.order_index}"
        curve = run_curve.curve
        for kind, values in (("loss", curve.loss), ("accuracy", curve.accuracy)):
            steps, got = read.pop(f"{kind}/{name}")
            assert steps == curve.step
            assert got == pytest.approx(values, abs=2e-6)
    curves = [run_curve.curve for run_curve in evaluation.curves]
    longest = max((curve.step for curve in curves), key=len)
    for kind in ("loss", "accuracy"):
        each = [getattr(curve, kind) for curve in curves]
        means = [sum(values[: window + 1][-1] for values in each) / len(each) for window in range(len(longest))]
        steps, got = read.pop(f"mean/{kind}")
        assert steps == longest
        assert got == pytest.approx(means, abs=2e-6)
    steps, live = read.pop("live_runs")
    assert steps == longest
    assert live[:-1] == [sum(curve.step[-1] > step for curve in curves) for step in longest[:-1]]
    end, accuracy = read.pop("test_accuracy")
    assert end == longest[-1:]
    assert accuracy == pytest.approx([evaluation.metrics.test_accuracy])
    assert not read


def test_every_evaluations_curves_are_its_own(run_eval: RunEval, tmp_path: Path) -> None:
    arguments = f"{SETTINGS} --seed 1 2"
    _, expected, _ = run_eval(arguments)
    for _ in range(2):  # what a second evaluation writes to the same place takes the place of the first's
        status, lines, err = run_eval(
            f"{arguments} --no-history --output-dir {tmp_path}/json --tensorboard {tmp_path}/curves"
        )
        assert (status, lines) == (0, expected)
        assert "vecparity:" not in err
    directories = [tmp_path / "curves" / f"isolated_cube-n32-k8-seed{seed}" for seed in (1, 2)]
    assert sorted((tmp_path / "curves").iterdir()) == directories
    evaluations = [serialization.load(tmp_path / "json" / f"eval_seed{seed}.json") for seed in (1, 2)]
    for directory, evaluation in zip(directories, evaluations, strict=True):
        assert_shows(directory, evaluation)
        assert len({len(run_curve.curve.step) for run_curve in evaluation.curves}) > 1
    with pytest.raises(AssertionError):
        assert_shows(directories[0], evaluations[1])


def test_runs_that_train_one_after_the_other(run_eval: RunEval, tmp_path: Path) -> None:
    run_eval(f"{SETTINGS} --engine reference --output-dir {tmp_path}/json --tensorboard {tmp_path}/curves")
    evaluation = serialization.load(tmp_path / "json" / "eval_seed42.json")
    assert_shows(tmp_path / "curves" / "isolated_cube-n32-k8-seed42", evaluation)


@pytest.mark.slow
def test_workers_have_curves_of_their_own(run_eval: RunEval, tmp_path: Path) -> None:
    status, _, _ = run_eval(
        f"{SETTINGS} --seed 1 2 --no-history --workers 1 --output-dir {tmp_path}/json --tensorboard {tmp_path}/curves"
    )
    assert status == 0
    for seed in (1, 2):
        evaluation = serialization.load(tmp_path / "json" / f"eval_seed{seed}.json")
        assert_shows(tmp_path / "curves" / f"isolated_cube-n32-k8-seed{seed}", evaluation)
    read = scalars(tmp_path / "curves" / "workers")
    assert set(read) == {"workers/busy", "workers/begun_again", "workers/run_steps_per_second"}
    assert (read["workers/busy"][0][0], read["workers/busy"][0][-1]) == (0, 2)
    assert read["workers/busy"][1][0] == 1.0
    assert set(read["workers/begun_again"][1]) == {0.0}
    assert all(speed > 0 for speed in read["workers/run_steps_per_second"][1])


def test_curves_can_be_seen_while_they_come(tmp_path: Path) -> None:
    file = event_file.EventFile(tmp_path)
    file.write(1, {"mean/loss": 0.5})
    assert scalars(tmp_path) == {"mean/loss": ([1], [0.5])}
    file.close()


def test_without_the_library_nothing_is_trained(
    run_eval: RunEval,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    status, lines, err = run_eval(f"{SETTINGS} --tensorboard {tmp_path}/curves")
    assert (status, lines) == (2, [])
    said = "--tensorboard needs TensorBoard, which is not installed: pip install 'vecparity[tensorboard]'"
    assert err == f"vecparity: error: {said}\n"
    assert not (tmp_path / "curves").exists()


def test_a_place_that_cannot_be_written(run_eval: RunEval) -> None:
    status, lines, err = run_eval(f"{SETTINGS} --tensorboard /proc/nowhere")
    assert (status, lines) == (6, [])
    assert err.startswith("vecparity: error: tensorboard must be a directory that can be written")


def test_evaluations_of_the_same_name_are_refused(tmp_path: Path) -> None:
    job = load("isolated_cube"), 42
    with pytest.raises(UsageError, match="differ by name, got isolated_cube with seed 42, isolated_cube with seed 42"):
        TensorBoardLog(tmp_path, [job, job])


@pytest.mark.parametrize("fails_at", [0, 3])
def test_failures_lose_no_evaluation_and_are_said_once(
    run_eval: RunEval,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails_at: int,
) -> None:
    _, expected, _ = run_eval(f"{SETTINGS} --all-configs")
    flushes = []

    def full(self: Any) -> None:
        flushes.append(self)
        if len(flushes) > fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(event_file.RecordWriter, "flush", full)
    status, lines, err = run_eval(f"{SETTINGS} --all-configs --no-history --tensorboard {tmp_path}")
    assert (status, lines) == (0, expected)
    said = f"some events could not be written to {tmp_path} for TensorBoard: No space left on device"
    assert err == f"vecparity: warning: {said}\n"


def test_an_evaluation_of_the_history_is_shown_too(run_eval: RunEval, tmp_path: Path) -> None:
    arguments = f"{SETTINGS} --history {tmp_path}/history --output-dir {tmp_path}/json"
    run_eval(arguments)
    _, _, err = run_eval(f"{arguments} --reuse --tensorboard {tmp_path}/curves")
    assert ": reused evaluation" in err
    assert_shows(
        tmp_path / "curves" / "isolated_cube-n32-k8-seed42", serialization.load(tmp_path / "json/eval_seed42.json")
    )


@needs_mount
@pytest.mark.slow
def test_a_full_disk_ends_the_log_alone(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    arguments = f"--max-steps 2000 --log-interval 2 --tensorboard {tmp_path}/disk/curves --checkpoint-seconds 9999"
    done = mounted("size=16k", tmp_path / "disk", arguments)
    assert done.stdout.splitlines()[-1].startswith("TEST_METRICS")
    assert done.stderr.count("for TensorBoard: No space left on device") == 1
    assert "Traceback" not in done.stderr
