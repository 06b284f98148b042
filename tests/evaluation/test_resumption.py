"""Evaluations with checkpoints: resumed, discarded at the end, and separate from each other."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SHORT, RunEval
from noting import Noting
from tasks import make_task

from vecparity import Evaluation, History, TaskConfig, evaluate
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation import resumption
from vecparity.evaluation.options import Options
from vecparity.evaluation.preparation import Member
from vecparity.history.recorder import Recorder
from vecparity.training.engines import names as engine_names
from vecparity.training.engines.names import EngineName
from vecparity.training.progress import WindowClosed

FLAGS = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in SHORT.items())


KEY = bytes(range(32))


class StoppedError(Exception):
    """Raised as a user's own error, or a Ctrl-C, is."""


class Stopping(Noting):
    """Stops an evaluation at its third window: two are kept."""

    def window(self, closed: WindowClosed) -> None:
        super().window(closed)
        if len(self.windows) == 3:
            raise StoppedError


def stopped(directory: Path, **how: Any) -> list[str]:
    """Stops an evaluation, and returns the names of the files that it leaves."""
    with pytest.raises(StoppedError):
        kept(directory, followers=[Stopping()], **how)
    return names(directory)


def kept(directory: Path, **how: Any) -> Evaluation:
    options: dict[str, Any] = {"checkpoint_seconds": 0} | SHORT | how
    evaluation: Evaluation = evaluate("isolated_cube", checkpoint=directory, **options)
    return evaluation


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_other_roundings_of_the_engine_are_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stopped(tmp_path / "kept", engine="vmap")
    monkeypatch.setitem(engine_names._VERSIONS, "vmap", 2)
    with pytest.warns(UserWarning, match=r"the nearest checkpoint is of another evaluation, .*engine_version"):
        kept(tmp_path / "kept", resume=True, engine="vmap")
    assert names(tmp_path / "kept") == before


def test_what_is_done_is_discarded(tmp_path: Path, evaluation: Evaluation) -> None:
    for _ in range(2):
        assert kept(tmp_path / "kept").results == evaluation.results
        assert not list(tmp_path.iterdir())


def test_what_was_stopped_is_gone_on_with_where_that_is_said(tmp_path: Path, evaluation: Evaluation) -> None:
    before = stopped(tmp_path / "kept")
    assert [name.partition(".")[2] for name in before] == [
        f"{part}.{end}" for part in ("runs", "state-000001", "state-000002") for end in ("json", "safetensors")
    ]
    noting = Noting()
    assert kept(tmp_path / "kept", resume=True, followers=[noting]).results == evaluation.results
    assert [window.is_shown_again for window in noting.windows] == [True, True, False, False]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"seed": 43}, r"seeds: expected \[43\], got \[42\]"),
        ({"max_steps": 40}, "max_steps: expected 40, got 60"),
        pytest.param({"engine": "vmap"}, "engine: expected 'vmap', got 'native', devices: .*", marks=pytest.mark.slow),
        ({"audit": "report"}, r"audits: expected \['report'\], got \['off'\]"),
    ],
)
def test_others_in_the_same_directory_are_never_met(tmp_path: Path, other: dict[str, Any], difference: str) -> None:
    before = stopped(tmp_path)
    expected = kept(tmp_path, **other)
    assert names(tmp_path) == before
    nothing = (
        r"no checkpoint n32-k8-\w{16} in .*: the evaluation starts .*; the nearest checkpoint is of another evaluation"
    )
    with pytest.warns(UserWarning, match=rf"{nothing}, {before[0].partition('.')[0]} \({difference}\)$"):
        assert kept(tmp_path, resume=True, **other).results == expected.results
    assert names(tmp_path) == before
    kept(tmp_path, resume=True)


@pytest.mark.parametrize("what", ["vecparity", "torch"])
def test_another_versions_are_never_met_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = stopped(tmp_path)
    monkeypatch.setattr("vecparity._version.__version__" if what == "vecparity" else "torch.__version__", "9.9")
    with pytest.warns(
        UserWarning, match=rf"the nearest checkpoint is of another evaluation, .* \({what}: expected '9.9', got '.*'\)$"
    ):
        kept(tmp_path, resume=True)
    assert names(tmp_path) == before


def test_the_same_twice_at_once_is_refused_and_touches_nothing(tmp_path: Path, evaluation: Evaluation) -> None:
    class Again(Noting):
        def window(self, closed: WindowClosed) -> None:
            super().window(closed)
            before = {path: path.read_bytes() for path in tmp_path.iterdir()}
            for resume in (False, True):
                with pytest.raises(
                    UsageError, match=r"n32-k8-\w{16}.lock is in use by another evaluation, pid \d+: wait"
                ):
                    kept(tmp_path, resume=resume)
            assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    again = Again()
    assert kept(tmp_path, followers=[again]).results == evaluation.results
    assert len(again.windows) == 4


def test_what_could_not_be_recorded_is_kept_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise MachineError("the disk is full")

    history = {"history": tmp_path / "history"}
    with monkeypatch.context() as broken:
        broken.setattr(Recorder, "record", full)
        with pytest.warns(UserWarning, match="could not be recorded: the disk is full"):
            kept(tmp_path / "kept", **history)
    assert names(tmp_path / "kept")
    kept(tmp_path / "kept", resume=True, **history)
    assert not (tmp_path / "kept").exists()
    with History(tmp_path / "history") as opened:
        assert len(opened.entries()) == 1


def test_what_had_been_recorded_before_a_kill_leaves_no_checkpoint(tmp_path: Path) -> None:
    history: dict[str, Any] = {"history": tmp_path / "history"}
    stopped(tmp_path / "kept")
    recorded = evaluate("isolated_cube", **SHORT, **history)
    assert kept(tmp_path / "kept", resume=True, reuse=True, **history).results == recorded.results
    assert not (tmp_path / "kept").exists()


def test_a_gpus_model_is_part_of_what_has_to_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are compiled for a model, and may add up in another order on the next."""
    member = Member(0, make_task("isolated_cube", TaskConfig()))

    def identity(device: str, gpu: str, engine: EngineName = "triton", count: int = 1) -> dict[str, Any]:
        monkeypatch.setattr("torch.cuda.get_device_name", lambda device: gpu)
        return resumption._identity(Options(), TaskConfig(), [member], engine, [torch.device(device)] * count)

    one, other = identity("cuda", "NVIDIA H100"), identity("cuda", "NVIDIA A100")
    assert {name for name in one if one[name] != other[name]} == {"gpu"}
    assert identity("cpu", "NVIDIA H100") == identity("cpu", "NVIDIA A100")
    assert identity("cuda", "NVIDIA H100", count=2) == one  # on how many is all the same, but for vmap
    vmap, several = (identity("cuda", "NVIDIA H100", "vmap", count) for count in (1, 2))
    assert {name for name in vmap if vmap[name] != several[name]} == {"devices"}


@pytest.mark.filterwarnings("default:no checkpoint n32")
def test_the_command_keeps_them_beside_the_results(run_eval: RunEval, tmp_path: Path) -> None:
    before = stopped(tmp_path / "checkpoints")
    assert run_eval(f"{FLAGS} --output-dir {tmp_path} --seed 43")[0] == 0
    assert names(tmp_path / "checkpoints") == before
    assert run_eval(f"{FLAGS} --output-dir {tmp_path} --resume")[0] == 0
    assert names(tmp_path) == ["eval_seed42.json", "eval_seed43.json"]
    status, _, err = run_eval(f"{FLAGS} --output-dir {tmp_path} --resume --seed 44")
    assert status == 0
    assert "warning: no checkpoint n32-k8-" in err and f"in {tmp_path}/checkpoints: the evaluation starts" in err


def test_what_is_not_resumed_is_replaced_with_a_word(tmp_path: Path, evaluation: Evaluation) -> None:
    stopped(tmp_path / "kept")
    words = r"replaces its checkpoint n32-k8-\w{16} in .*kept, from which resume=True \(--resume\) would have gone on"
    with pytest.warns(UserWarning, match=words):
        assert kept(tmp_path / "kept").results == evaluation.results
    assert not list(tmp_path.iterdir())


def test_by_default_nothing_is_written_before_it_is_due(tmp_path: Path, evaluation: Evaluation) -> None:
    class Looking(Noting):
        def window(self, closed: WindowClosed) -> None:
            assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".lock"]
            super().window(closed)

    looking = Looking()
    made = kept(tmp_path / "kept", followers=[looking], checkpoint_if_possible=True, checkpoint_seconds=60)
    assert made.results == evaluation.results
    assert looking.windows and not list(tmp_path.iterdir())
    stopped(tmp_path / "kept", checkpoint_if_possible=True)
    noting = Noting()
    resumed = kept(tmp_path / "kept", checkpoint_if_possible=True, resume=True, followers=[noting])
    assert resumed.results == evaluation.results
    assert [window.is_shown_again for window in noting.windows][:2] == [True, True]


def test_without_room_for_checkpoints_there_are_none(tmp_path: Path, evaluation: Evaluation) -> None:
    (tmp_path / "kept").write_text("no directory")
    with pytest.warns(UserWarning, match="no checkpoints are kept: checkpoint must be a directory"):
        assert kept(tmp_path / "kept", checkpoint_if_possible=True).results == evaluation.results
    with pytest.raises(MachineError, match="checkpoint must be a directory"):
        kept(tmp_path / "kept")


def test_results_that_could_not_be_written_are_kept(run_eval: RunEval, tmp_path: Path) -> None:
    (tmp_path / "eval_seed42.json").mkdir()
    assert run_eval(f"{FLAGS} --output-dir {tmp_path}")[0] == 6
    assert names(tmp_path / "checkpoints")
    (tmp_path / "eval_seed42.json").rmdir()
    assert run_eval(f"{FLAGS} --output-dir {tmp_path} --resume")[0] == 0
    assert names(tmp_path) == ["eval_seed42.json"]


def test_a_sealed_evaluation_resumes_under_its_own_draw(tmp_path: Path) -> None:
    stopped(tmp_path / "kept", seal_key=KEY)
    resumed = kept(tmp_path / "kept", seal_key=KEY, resume=True)
    draw = resumed.provenance.draw
    assert draw is not None
    whole = evaluate("isolated_cube", seal_key=KEY, draw=draw, **SHORT)
    assert (resumed.results, resumed.curves, resumed.datasets) == (whole.results, whole.curves, whole.datasets)
    assert evaluate("isolated_cube", seal_key=KEY, **SHORT).provenance.draw != draw


def test_an_audited_evaluation_resumes_with_its_audits(tmp_path: Path) -> None:
    stopped(tmp_path / "kept", audit="strict")
    resumed = kept(tmp_path / "kept", audit="strict", resume=True)
    whole = evaluate("isolated_cube", audit="strict", **SHORT)
    assert resumed.results == whole.results
    assert [finding.name for finding in resumed.findings] == [finding.name for finding in whole.findings]
    (fresh,) = (finding for finding in resumed.findings if finding.name == "fresh-test")
    assert 0 < fresh.figures["fresh_accuracy"] <= 1
