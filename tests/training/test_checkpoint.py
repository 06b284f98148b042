"""Checkpoint files: read back bitwise as written, or refused with the reason."""

import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from equivalence import CONFIG, make_runs, train_silently

import vecparity
from vecparity.errors import MachineError, UsageError
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import make_fresh_test_set
from vecparity.training.checkpoints import checkpoint_file, snapshot
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.checkpoints.checkpoint_file import FORMAT, CheckpointRefusedError
from vecparity.training.checkpoints.snapshot import Snapshot
from vecparity.training.engines.native import NativeEngine
from vecparity.training.loop import train

IDENTITY: dict[str, Any] = {
    "strategies": ["0a1b"],
    "config": {"max_steps": 50, "early_stop_acc": 0.999},
    "seeds": (42, 43),
}


def state(step: int) -> Snapshot:
    generator = torch.Generator().manual_seed(step)
    params = torch.randn(3, 5, generator=generator)
    return Snapshot({"step": step, "share": 0.1 + 0.2}, {"params": params, "active": params[:, 0] > 0})


_OPEN: list[Checkpoints] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_all()


def close_all() -> None:
    while _OPEN:
        _OPEN.pop().close()


def opened(
    directory: Path, identity: dict[str, Any] = IDENTITY, seconds: float = 60.0, label: str = "n32-k8"
) -> Checkpoints:
    """As by another process, after the end of all that had them open."""
    close_all()
    _OPEN.append(Checkpoints(directory, label, identity, seconds))
    return _OPEN[-1]


def begun(directory: Path, steps: int = 0, label: str = "n32-k8") -> Checkpoints:
    """Checkpoints of so many states, of steps 1, 2, ..."""
    checkpoints = opened(directory, label=label)
    checkpoints.begin(make_runs())
    for step in range(1, steps + 1):
        checkpoints.save(state(step))
    return checkpoints


def reopened(directory: Path) -> Checkpoints:
    checkpoints = opened(directory)
    checkpoints.resume()
    return checkpoints


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.suffix != ".lock"}


def pair(stem: str) -> set[str]:
    return {f"{stem}.json", f"{stem}.safetensors"}


NAME = f"n32-k8-{sha256(json.dumps(IDENTITY, sort_keys=True).encode()).hexdigest()[:16]}"
RUNS = pair(f"{NAME}.runs")


def test_runs_come_back_bitwise_and_share_what_they_shared(tmp_path: Path) -> None:
    runs = make_runs()
    begun(tmp_path)
    found = opened(tmp_path).resume()
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


def test_new_rows_of_an_audit_come_back_and_runs_without_have_none(tmp_path: Path) -> None:
    first, second, *others = make_runs()
    fresh = make_fresh_test_set(TaskConfig(n_features=first.test_set.n_features, test_set_size=50), (1, 2), 3)
    checkpoints = opened(tmp_path)
    checkpoints.begin([*(replace(run, fresh_test_set=fresh) for run in (first, second)), *others])
    found = opened(tmp_path).resume()
    assert found is not None
    assert found[0].fresh_test_set is not None
    assert found[0].fresh_test_set is found[1].fresh_test_set
    assert torch.equal(found[0].fresh_test_set.bits, fresh.bits)
    assert torch.equal(found[0].fresh_test_set.labels, fresh.labels)
    assert all(run.fresh_test_set is None for run in found[2:])


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
    checkpoints = opened(tmp_path / "new" / "directory")
    assert not checkpoints.exist()
    assert checkpoints.resume() is None
    begun(tmp_path, 1, label="n50-k8")
    assert opened(tmp_path).resume() is None
    assert opened(tmp_path, label="n50-k8").exist()


def test_runs_without_a_state_start_at_the_first_step(tmp_path: Path) -> None:
    begun(tmp_path)
    found = opened(tmp_path)
    assert found.exist()
    assert found.resume() is not None
    assert (found.state, found.kept_step) == (None, None)


def test_the_last_two_generations_stay_and_nothing_else(tmp_path: Path) -> None:
    foreign = {"notes.txt", f"{NAME}.json", f"{NAME}0.runs.json.tmp", "n32-k8-0123456789abcdef.runs.safetensors"}
    for name in foreign:
        (tmp_path / name).touch()
    begun(tmp_path, 2)
    for stray in (f"{NAME}.state-000003.safetensors.tmp", f"{NAME}.runs.json.tmp", f"{NAME}.state-000009.safetensors"):
        (tmp_path / stray).touch()  # as a killed process leaves them
    checkpoints = reopened(tmp_path)
    checkpoints.save(state(3))
    assert names(tmp_path) == RUNS | pair(f"{NAME}.state-000002") | pair(f"{NAME}.state-000003") | foreign
    checkpoints.save(state(4))
    assert names(tmp_path) == RUNS | pair(f"{NAME}.state-000003") | pair(f"{NAME}.state-000004") | foreign


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


JSON, TENSORS = f"{NAME}.state-000002.json", f"{NAME}.state-000002.safetensors"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "tensors altered": (lambda at: altered(at / TENSORS, -20), rf"{TENSORS}: expected SHA-256 \w+..., got \w+"),
    "tensors truncated": (lambda at: truncated(at / TENSORS), rf"{TENSORS}: expected SHA-256 .* bytes"),
    "tensors empty": (lambda at: (at / TENSORS).write_bytes(b""), rf"{TENSORS}: expected SHA-256 .* of 0 bytes"),
    "tensors missing": (lambda at: (at / TENSORS).unlink(), rf"{TENSORS}: expected a file, got No such file"),
    "JSON truncated": (
        lambda at: (at / JSON).write_bytes((at / JSON).read_bytes()[:300]),
        rf"{JSON}: expected a whole",
    ),
    "JSON without its last byte": (
        lambda at: truncated(at / JSON),
        rf"{JSON}: expected content that matches its SHA-256",
    ),
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
    with pytest.warns(
        UserWarning, match=f"resuming from the checkpoint before the newest, which cannot be used: {reason}"
    ) as warned:
        found = reopened(tmp_path)
    assert len(warned) == 1
    assert found.state is not None and found.state.values == state(1).values
    found.save(state(3))  # and what follows does not stand beside the broken one
    assert names(tmp_path) == RUNS | pair(f"{NAME}.state-000001") | pair(f"{NAME}.state-000003")


def test_tensors_whose_json_was_never_written_are_not_missed(tmp_path: Path) -> None:
    begun(tmp_path, 2)
    (tmp_path / JSON).unlink()
    assert reopened(tmp_path).kept_step == 1  # without a warning: so a kill leaves them


@pytest.mark.parametrize("case", BROKEN)
def test_where_none_is_whole_all_reasons_are_given(tmp_path: Path, case: str) -> None:
    breaks, reason = BROKEN[case]
    begun(tmp_path, 2)
    breaks(tmp_path)
    truncated(tmp_path / f"{NAME}.state-000001.safetensors")
    with pytest.raises(UsageError) as raised:
        reopened(tmp_path)
    first, second = str(raised.value).split("; ")
    assert first.startswith(f"no checkpoint of {NAME} in {tmp_path} can be used: ")
    assert re.search(reason, first)
    assert second.startswith(f"{NAME}.state-000001.safetensors: expected SHA-256")
    assert raised.value.exit_status == 2


def test_any_byte_of_the_json_and_of_the_tensors_is_guarded(tmp_path: Path) -> None:
    checkpoint_file.write(tmp_path / "x", IDENTITY_AS_READ, state(1))
    for path in (tmp_path / "x.json", tmp_path / "x.safetensors"):
        for position in range(path.stat().st_size):
            altered(path, position)
            with pytest.raises(CheckpointRefusedError, match=r"^x\."):
                checkpoint_file.read(tmp_path / "x", IDENTITY_AS_READ)
            altered(path, position)
    checkpoint_file.read(tmp_path / "x", IDENTITY_AS_READ)


IDENTITY_AS_READ = json.loads(json.dumps(IDENTITY))


DIFFERENT: list[tuple[dict[str, Any], str]] = [
    ({"strategies": ["ffff"]}, r"strategies: expected ['ffff'], got ['0a1b']"),
    ({"config": {"max_steps": 60, "early_stop_acc": 0.999}}, r"config.max_steps: expected 60, got 50"),
    ({"seeds": [42]}, r"seeds: expected [42], got [42, 43]"),
    ({"dtype": "float64"}, r"dtype: expected 'float64', got None"),
]


@pytest.mark.parametrize(("changes", "difference"), DIFFERENT)
def test_different_trainings_never_meet(tmp_path: Path, changes: dict[str, Any], difference: str) -> None:
    begun(tmp_path, 2)
    with closing(Checkpoints(tmp_path, "n32-k8", IDENTITY | changes)) as other:
        assert other.describe_nearest() == f"{NAME} ({difference})"
        assert not other.exist() and other.resume() is None
        other.begin(make_runs())
        other.save(state(1))
        assert len(names(tmp_path)) == 6 + 4
        other.end()
    assert names(tmp_path) == RUNS | pair(f"{NAME}.state-000001") | pair(f"{NAME}.state-000002")
    assert reopened(tmp_path).kept_step == 2


def test_the_nearest_of_several_is_described_by_a_few_differences(tmp_path: Path) -> None:
    assert opened(tmp_path).describe_nearest() is None
    begun(tmp_path)
    truncated(tmp_path / f"{NAME}.runs.json")  # and what cannot be read is no neighbour
    far = opened(tmp_path, {**IDENTITY, "seeds": [1], "dtype": "float64"})
    far.begin(make_runs())
    others = {"strategies": 1, "config": 2, "seeds": 3, "dtype": 4, "engine": 5}
    said = opened(tmp_path, others).describe_nearest()
    assert said is not None and said.startswith(f"{far.name} (")
    assert said.count("expected") == 3 and said.endswith(" and 2 more)")
    near = opened(tmp_path, {**IDENTITY, "seeds": [1]})
    near.begin(make_runs())
    said = opened(tmp_path).describe_nearest()
    assert said == f"{near.name} (seeds: expected [42, 43], got [1])"


@pytest.mark.parametrize(("changes", "difference"), DIFFERENT)
def test_a_file_that_was_given_anothers_name_is_refused(
    tmp_path: Path, changes: dict[str, Any], difference: str
) -> None:
    begun(tmp_path, 1)
    other = opened(tmp_path, IDENTITY | changes)
    for path in list(tmp_path.glob(f"{NAME}.*.*")):
        path.rename(path.with_name(path.name.replace(NAME, other.name)))
    before = names(tmp_path)
    with pytest.raises(UsageError, match=rf"{other.name}.runs.json: {re.escape(difference)}$"):
        other.resume()
    assert names(tmp_path) == before


def test_another_versions_checkpoints_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path, 2)
    monkeypatch.setattr("vecparity._version.__version__", "9.9")
    with pytest.raises(UsageError, match=r"runs.json: vecparity: expected '9.9', got '"):
        reopened(tmp_path)


@pytest.mark.parametrize("breaks", [truncated, Path.unlink])
@pytest.mark.parametrize("name", sorted(RUNS))
def test_states_are_nothing_without_their_runs(tmp_path: Path, name: str, breaks: Callable[[Path], None]) -> None:
    begun(tmp_path, 2)
    breaks(tmp_path / name)
    with pytest.raises(UsageError, match=f"no checkpoint of {NAME} in .* can be used: {name}: expected"):
        reopened(tmp_path)


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"checkpoint must be a directory that can be written, got .*File exists"):
        Checkpoints(tmp_path / "file", "a", {})


def test_a_checkpoint_is_due_after_so_many_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = opened(tmp_path, seconds=10)
    checkpoints.begin(make_runs())
    for now[0], is_due in ((9.9, False), (10.0, True), (30.0, True)):
        assert checkpoints.is_due() == is_due
    checkpoints.save(state(1))
    assert not checkpoints.is_due()


def full_disk(*arguments: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
            f"no checkpoint could be written to {tmp_path}, training continues: [Errno 28] No space left on device"
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
def test_a_directory_that_vanishes_is_made_again(tmp_path: Path, replacement: str | None) -> None:
    directory = tmp_path / "checkpoints"
    runs, engine = make_runs(), NativeEngine()
    checkpoints = opened(directory, seconds=0)
    checkpoints.begin(runs)

    def take_away(closed: Any) -> None:
        if closed.step == 20:
            shutil.rmtree(directory)
            if replacement == "file":
                directory.touch()
            elif replacement == "directory":
                directory.mkdir()

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ends = train(runs, CONFIG, engine, [torch.device("cpu")], torch.float32, take_away, checkpoints)
    assert ends == train_silently(runs, CONFIG, engine, torch.float32)
    if replacement == "file":
        assert len(warned) == 1 and "no checkpoint could be written" in str(warned[0].message)
        assert directory.is_file()
        return
    assert not warned
    assert names(directory) == RUNS | pair(f"{NAME}.state-000050") | pair(f"{NAME}.state-000051")
    with pytest.raises(UsageError, match="in use by another evaluation"):  # it is locked again, too
        Checkpoints(directory, "n32-k8", IDENTITY)
    assert len(opened(directory).resume() or []) == 9


def test_what_another_began_where_the_directory_vanished_is_left_alone(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    checkpoints = begun(directory, 1)
    shutil.rmtree(directory)
    with closing(Checkpoints(directory, "n32-k8", IDENTITY)) as others:
        others.begin(make_runs())
        others.save(state(7))
        before = names(directory)
        with pytest.warns(
            UserWarning, match=r"no checkpoint could be written .* in use by another evaluation, pid \d+"
        ):
            checkpoints.save(state(2))
        checkpoints.end()
        assert names(directory) == before
        with pytest.raises(UsageError, match="in use"):
            Checkpoints(directory, "n32-k8", IDENTITY)


def test_the_directory_goes_with_the_last_of_its_checkpoints(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    first, second = Checkpoints(directory, "a", {}), Checkpoints(directory, "b", {})
    first.begin(make_runs())
    first.end()
    assert directory.is_dir()  # with the other's lock alone
    second.begin(make_runs())
    second.end()
    assert not list(tmp_path.iterdir())


def test_a_snapshot_is_of_the_moment(tmp_path: Path) -> None:
    """A kept state does not change with the training's later changes."""
    checkpoints = begun(tmp_path)
    kept = Snapshot({"step": 1}, {"params": torch.ones(2)})
    checkpoints.save(kept)
    kept.tensors["params"].zero_()
    found = reopened(tmp_path).state
    assert found is not None and torch.equal(found.tensors["params"], torch.ones(2))
    assert snapshot.of_runs(make_runs()).tensors["params"].shape[0] == 9
