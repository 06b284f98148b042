"""The files: bitwise what was written, or refused with the reason."""

import errno
import json
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from equivalence import CONFIG, make_runs, train_silently

import vecparity
from vecparity import checkpoint_file, snapshot
from vecparity.checkpoint import Checkpoints
from vecparity.checkpoint_file import FORMAT, RefusedError
from vecparity.engines.native import NativeEngine
from vecparity.errors import MachineError, UsageError
from vecparity.snapshot import Snapshot
from vecparity.train import train

IDENTITY = {"strategies": ["0a1b"], "config": {"max_steps": 50, "early_stop_acc": 0.999}, "seeds": (42, 43)}


def state(step: int) -> Snapshot:
    generator = torch.Generator().manual_seed(step)
    params = torch.randn(3, 5, generator=generator)
    return Snapshot({"step": step, "share": 0.1 + 0.2}, {"params": params, "active": params[:, 0] > 0})


def begun(directory: Path, steps: int = 0, name: str = "n32-k8") -> Checkpoints:
    """Checkpoints of so many states, of steps 1, 2, ..."""
    checkpoints = Checkpoints(directory, name, IDENTITY)
    checkpoints.begin(make_runs())
    for step in range(1, steps + 1):
        checkpoints.save(state(step))
    return checkpoints


def reopened(directory: Path) -> Checkpoints:
    checkpoints = Checkpoints(directory, "n32-k8", IDENTITY)
    checkpoints.resume()
    return checkpoints


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def pair(stem: str) -> set[str]:
    return {f"{stem}.json", f"{stem}.safetensors"}


RUNS = pair("n32-k8.runs")


def test_runs_come_back_bitwise_and_share_what_they_shared(tmp_path: Path) -> None:
    runs = make_runs()
    begun(tmp_path)
    found = Checkpoints(tmp_path, "n32-k8", IDENTITY).resume()
    assert found is not None
    for ours, run in zip(found, runs, strict=True):
        assert torch.equal(ours.params.view(torch.int32), run.params.view(torch.int32))
        for data, expected in ((ours.dataset, run.dataset), (ours.test_set, run.test_set)):
            assert torch.equal(data.bits, expected.bits) and torch.equal(data.labels, expected.labels)
            assert data.n_features == expected.n_features
        ours = replace(ours, params=run.params, dataset=run.dataset, test_set=run.test_set)
        assert ours == run  # the hyperparameters, to the last digit, and all the rest
    for one in range(9):
        for other in range(9):
            assert (found[one].dataset is found[other].dataset) == (runs[one].dataset is runs[other].dataset)
            assert found[one].test_set is found[other].test_set


def test_a_state_comes_back_bitwise(tmp_path: Path) -> None:
    begun(tmp_path, 1)
    found = reopened(tmp_path)
    assert found.state is not None and found.kept_step == 1
    assert found.state.values == state(1).values
    assert found.state.tensors.keys() == state(1).tensors.keys()
    for name, tensor in state(1).tensors.items():
        assert found.state.tensors[name].dtype == tensor.dtype and torch.equal(found.state.tensors[name], tensor)


def test_a_snapshot_of_nothing_and_of_parts_of_tensors(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    parts = {"none": whole[:0], "column": whole[:, 1], "turned": whole.T, "all": whole, "again": whole}
    checkpoint_file.write(tmp_path / "x", {}, Snapshot({}, parts))
    found, _ = checkpoint_file.read(tmp_path / "x", {})
    for name, tensor in parts.items():
        assert torch.equal(found.tensors[name], tensor), name


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        checkpoint_file.write(tmp_path / "x", {}, Snapshot({"loss": float("nan")}, {}))


def test_nothing_to_go_on_from(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "new" / "directory", "n32-k8", IDENTITY)
    assert not checkpoints.exist()
    assert checkpoints.resume() is None
    begun(tmp_path, 1, name="n50-k8")
    assert Checkpoints(tmp_path, "n32-k8", IDENTITY).resume() is None
    assert Checkpoints(tmp_path, "n50-k8", IDENTITY).exist()


def test_runs_without_a_state_start_at_the_first_step(tmp_path: Path) -> None:
    begun(tmp_path)
    found = Checkpoints(tmp_path, "n32-k8", IDENTITY)
    assert found.exist()
    assert found.resume() is not None
    assert (found.state, found.kept_step) == (None, None)


def test_the_last_two_generations_stay_and_nothing_else(tmp_path: Path) -> None:
    foreign = {"notes.txt", "n32-k8.json", "n32-k80.runs.json.tmp"}
    for name in foreign:
        (tmp_path / name).touch()
    begun(tmp_path, 2)
    for stray in ("n32-k8.state-000003.safetensors.tmp", "n32-k8.runs.json.tmp", "n32-k8.state-000009.safetensors"):
        (tmp_path / stray).touch()  # as a killed process leaves them
    checkpoints = reopened(tmp_path)
    checkpoints.save(state(3))
    assert names(tmp_path) == RUNS | pair("n32-k8.state-000002") | pair("n32-k8.state-000003") | foreign
    checkpoints.save(state(4))
    assert names(tmp_path) == RUNS | pair("n32-k8.state-000003") | pair("n32-k8.state-000004") | foreign


def test_to_begin_removes_what_was_there(tmp_path: Path) -> None:
    begun(tmp_path, 3)
    begun(tmp_path)
    assert names(tmp_path) == RUNS


def altered(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def with_content(path: Path, **changes: Any) -> None:
    """Rewrites a JSON whole, digest and all."""
    content = json.loads(path.read_text())["content"] | changes
    path.write_bytes(checkpoint_file._render(content))


JSON, TENSORS = "n32-k8.state-000002.json", "n32-k8.state-000002.safetensors"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "tensors altered": (lambda at: altered(at / TENSORS, -20), rf"{TENSORS}: expected SHA-256 \w+..., got \w+"),
    "tensors truncated": (lambda at: truncated(at / TENSORS), rf"{TENSORS}: expected SHA-256 .* bytes"),
    "tensors empty": (lambda at: (at / TENSORS).write_bytes(b""), rf"{TENSORS}: expected SHA-256 .* of 0 bytes"),
    "tensors missing": (lambda at: (at / TENSORS).unlink(), rf"{TENSORS}: expected a file, got No such file"),
    "JSON truncated": (
        lambda at: (at / JSON).write_bytes((at / JSON).read_bytes()[:300]),
        rf"{JSON}: expected a whole",
    ),
    "JSON without its last byte": (lambda at: truncated(at / JSON), rf"{JSON}: expected what its SHA-256 was taken of"),
    "JSON empty": (lambda at: (at / JSON).write_bytes(b""), rf"{JSON}: expected a whole checkpoint .*JSONDecodeError"),
    "JSON of something else": (lambda at: (at / JSON).write_text("[1]"), rf"{JSON}: expected a whole .*TypeError"),
    "JSON not text": (
        lambda at: (at / JSON).write_bytes(b'"\xff"'),
        rf"{JSON}: expected a whole .*UnicodeDecodeError",
    ),
    "another format": (
        lambda at: with_content(at / JSON, format=9, of=0),
        rf"{JSON}: format: expected {FORMAT}, got 9$",
    ),
    "another version": (
        lambda at: with_content(at / JSON, vecparity="9.9"),
        rf"{JSON}: vecparity: expected '{re.escape(vecparity.__version__)}', got '9.9'$",
    ),
    "other runs": (
        lambda at: with_content(at / JSON, of={**json.loads(json.dumps(IDENTITY)), "runs_sha256": "0"}),
        rf"{JSON}: runs_sha256: expected '\w+', got '0'$",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_refused_and_the_one_before_it_used(tmp_path: Path, case: str) -> None:
    breaks, reason = BROKEN[case]
    begun(tmp_path, 2)
    breaks(tmp_path)
    with pytest.warns(UserWarning, match=f"checkpoint refused, the one before it is used: {reason}") as warned:
        found = reopened(tmp_path)
    assert len(warned) == 1
    assert found.state is not None and found.state.values == state(1).values
    found.save(state(3))  # and what follows does not stand beside the broken one
    assert names(tmp_path) == RUNS | pair("n32-k8.state-000001") | pair("n32-k8.state-000003")


def test_tensors_whose_json_was_never_written_are_not_missed(tmp_path: Path) -> None:
    begun(tmp_path, 2)
    (tmp_path / JSON).unlink()
    assert reopened(tmp_path).kept_step == 1  # without a warning: so a kill leaves them


@pytest.mark.parametrize("case", BROKEN)
def test_where_none_is_whole_all_reasons_are_given(tmp_path: Path, case: str) -> None:
    breaks, reason = BROKEN[case]
    begun(tmp_path, 2)
    breaks(tmp_path)
    truncated(tmp_path / "n32-k8.state-000001.safetensors")
    with pytest.raises(UsageError) as raised:
        reopened(tmp_path)
    first, second = str(raised.value).split("; ")
    assert first.startswith(f"no checkpoint of n32-k8 in {tmp_path} can be used: ")
    assert re.search(reason, first)
    assert second.startswith("n32-k8.state-000001.safetensors: expected SHA-256")
    assert raised.value.exit_status == 2


def test_any_byte_of_the_json_and_of_the_tensors_is_guarded(tmp_path: Path) -> None:
    checkpoint_file.write(tmp_path / "x", IDENTITY_AS_READ, state(1))
    for path in (tmp_path / "x.json", tmp_path / "x.safetensors"):
        for position in range(path.stat().st_size):
            altered(path, position)
            with pytest.raises(RefusedError, match=r"^x\."):
                checkpoint_file.read(tmp_path / "x", IDENTITY_AS_READ)
            altered(path, position)
    checkpoint_file.read(tmp_path / "x", IDENTITY_AS_READ)


IDENTITY_AS_READ = json.loads(json.dumps(IDENTITY))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"strategies": ["ffff"]}, r"strategies: expected \['ffff'\], got \['0a1b'\]$"),
        ({"config": {"max_steps": 60, "early_stop_acc": 0.999}}, r"config.max_steps: expected 60, got 50$"),
        ({"seeds": [42]}, r"seeds: expected \[42\], got \[42, 43\]$"),
        ({"dtype": "float64"}, r"dtype: expected 'float64', got None$"),
    ],
)
def test_another_trainings_checkpoints_are_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    begun(tmp_path, 2)
    before = names(tmp_path)
    with pytest.raises(UsageError, match=f"no checkpoint of n32-k8 .* can be used: n32-k8.runs.json: {reason}"):
        Checkpoints(tmp_path, "n32-k8", IDENTITY | changes).resume()
    assert names(tmp_path) == before


def test_another_versions_checkpoints_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path, 2)
    monkeypatch.setattr(vecparity, "__version__", "9.9")
    with pytest.raises(UsageError, match=r"n32-k8.runs.json: vecparity: expected '9.9', got '"):
        reopened(tmp_path)


@pytest.mark.parametrize("breaks", [truncated, Path.unlink])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_states_are_nothing_without_their_runs(tmp_path: Path, name: str, breaks: Callable[[Path], None]) -> None:
    begun(tmp_path, 2)
    breaks(tmp_path / name)
    with pytest.raises(UsageError, match=f"no checkpoint of n32-k8 in .* can be used: {name}: expected"):
        reopened(tmp_path)


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "..", "n32 k8"])
def test_a_name_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"letters, digits, - and _, got {name!r}"):
        Checkpoints(tmp_path, name, {})


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(UsageError, match=f"checkpoint_seconds must be a finite number, at least 0, got {seconds}"):
        Checkpoints(tmp_path, "a", {}, seconds)


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"checkpoint must be a directory that can be written, got .*File exists"):
        Checkpoints(tmp_path / "file", "a", {})


def test_a_checkpoint_is_due_after_so_many_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, "a", {}, seconds=10)
    checkpoints.begin(make_runs())
    for now[0], is_due in ((9.9, False), (10.0, True), (30.0, True)):
        assert checkpoints.is_due() == is_due
    checkpoints.save(state(1))
    assert not checkpoints.is_due()


def full_disk(*arguments: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def vanish(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    checkpoints = begun(tmp_path, 2)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as broken:
        broken.setattr(os, function, full_disk)
        with pytest.warns(UserWarning, match="No space left") as warned:
            checkpoints.save(state(3))
        assert [str(warning.message) for warning in warned] == [
            f"no checkpoint could be written to {tmp_path}, training goes on: [Errno 28] No space left on device"
        ]
        checkpoints.save(state(4))  # warnings are errors here: there is no second one
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert checkpoints.kept_step == 2
    checkpoints.save(state(5))  # there is space again
    assert reopened(tmp_path).kept_step == checkpoints.kept_step == 5


def test_only_the_json_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = begun(tmp_path, 2)
    before = names(tmp_path)
    rename = os.replace

    def full_for_json(source: Path, target: Path) -> None:
        if target.suffix == ".json":
            full_disk()
        rename(source, target)

    monkeypatch.setattr(os, "replace", full_for_json)
    with pytest.warns(UserWarning, match="No space left"):
        checkpoints.save(state(3))
    assert names(tmp_path) == before  # tensors alone would only fill the disk


def test_runs_that_could_not_be_kept_at_first_are_kept_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full_disk)
        with pytest.warns(UserWarning, match="No space left"):
            checkpoints = begun(tmp_path)
    assert not names(tmp_path)
    checkpoints.save(state(1))
    assert reopened(tmp_path).kept_step == 1


@pytest.mark.parametrize("replacement", [None, "file", "directory"])
def test_a_directory_that_vanishes_does_not_end_the_training(tmp_path: Path, replacement: str | None) -> None:
    directory = tmp_path / "checkpoints"
    runs, engine = make_runs(), NativeEngine()
    checkpoints = Checkpoints(directory, "n32-k8", {}, seconds=0)
    checkpoints.begin(runs)

    def take_away(closed: Any) -> None:
        if closed.step == 20:
            vanish(directory)
            if replacement == "file":
                directory.touch()
            elif replacement == "directory":
                directory.mkdir()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ends = train(runs, CONFIG, engine, torch.device("cpu"), torch.float32, take_away, checkpoints)
    assert ends == train_silently(runs, CONFIG, engine, torch.float32)
    if replacement == "directory":  # and what is put there later is whole
        assert not warned
        assert names(directory) == RUNS | pair("n32-k8.state-000050") | pair("n32-k8.state-000051")
        assert len(Checkpoints(directory, "n32-k8", {}).resume() or []) == 9
    else:
        assert len(warned) == 1 and "no checkpoint could be written" in str(warned[0].message)
        assert [path.name for path in tmp_path.iterdir()] == (["checkpoints"] if replacement else [])


def test_a_snapshot_is_of_the_moment(tmp_path: Path) -> None:
    """What a training changes later is not in a state that was kept."""
    checkpoints = begun(tmp_path)
    kept = Snapshot({"step": 1}, {"params": torch.ones(2)})
    checkpoints.save(kept)
    kept.tensors["params"].zero_()
    found = reopened(tmp_path).state
    assert found is not None and torch.equal(found.tensors["params"], torch.ones(2))
    assert snapshot.of_runs(make_runs()).tensors["params"].shape[0] == 9
