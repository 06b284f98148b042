from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHORT

from vecparity import Evaluation, document, spec
from vecparity.errors import UsageError
from vecparity.options import Options
from vecparity.progress import WindowClosed
from vecparity.runs import Run
from vecparity.spec import TaskConfig
from vecparity.strategy import Strategy, load
from vecparity.workbench.history import History
from vecparity.workbench.recording import Recorder
from vecparity.workbench.references import existing, resolve
from vecparity.workbench.sides import sides


class Noting:
    """Follows evaluations, and notes what it is told, each thing once in succession."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def __enter__(self) -> "Noting":
        return self

    def __exit__(self, *error: object) -> None: ...

    def _note(self, words: str) -> None:
        if self._told[-1:] != [words]:
            self._told.append(words)

    def begin(self, config: TaskConfig) -> None:
        self._note(f"begin {config.label}")

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        self._note(f"{len(runs)} prepared")

    def window(self, closed: WindowClosed) -> None:
        self._note("windows close")

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        self._note(f"{len(evaluations)} finished")


@pytest.fixture
def at(tmp_path: Path, evaluation: Evaluation) -> Path:
    """A history of two commands, the second with two evaluations, and a JSON file beside it."""
    with History(tmp_path / "history", create=True) as history:
        for command in ("first", "second", "second"):
            history.add(evaluation, load("isolated_cube"), command)
    document.save(evaluation, tmp_path / "result.json")
    return tmp_path / "history"


def test_what_words_mean(at: Path, evaluation: Evaluation) -> None:
    recorded, written, chosen = resolve(["2", str(at.parent / "result.json"), "multi_epoch"], at)
    assert (recorded.name, written.name, chosen.name) == (
        "isolated_cube #2",
        "isolated_cube (result.json)",
        "multi_epoch",
    )
    assert isinstance(recorded.given, Evaluation)
    assert isinstance(written.given, Evaluation)
    assert recorded.given.results == written.given.results == evaluation.results
    assert isinstance(chosen.given, Strategy)


def test_no_words_are_the_newest_command(at: Path) -> None:
    assert len(existing([], at)) == 2
    assert len(existing(["1", str(at.parent / "result.json"), "3"], at)) == 3


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("7", r"has no evaluation 7 \(vecparity history lists them\)$"),
        ("9" * 30, "has no evaluation 9+ "),
        ("١", "expected an id of vecparity history or a JSON file, got '١'"),
        ("nowhere.json", "expected a file that can be read, got nowhere.json: No such file"),
        ("isolated_cube", "expected an id of vecparity history or a JSON file, got 'isolated_cube'"),
    ],
)
def test_what_means_nothing_is_one_line(at: Path, word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        existing([word], at)


def test_nothing_recorded_is_one_line(tmp_path: Path) -> None:
    History(tmp_path / "history", create=True).close()
    with pytest.raises(UsageError, match=r"no evaluations are recorded yet in .*: vecparity eval records them$"):
        existing([], tmp_path / "history")


def test_strategies_are_evaluated_once_and_recorded(at: Path) -> None:
    references = resolve(["isolated_cube", "1", "default_4096"], at)
    told: list[str] = []
    for _ in range(2):
        with Recorder(at, reuse=True) as recorder:
            made = sides(references, [], [], "", Options(), recorder, lambda configs: Noting(told))
        assert [side.name for side in made] == ["isolated_cube", "isolated_cube #1", "default_4096"]
        assert [list(side.evaluations) for side in made] == [["n32-k8"]] * 3
        assert made[0].evaluations["n32-k8"][0].results == made[1].evaluations["n32-k8"][0].results
    once = ["begin n32-k8", "4 prepared", "windows close", "2 finished"]
    assert told == [*once, once[0], once[3]], "the first is recorded, and so is the third when it is asked for again"
    with History(at) as history:
        assert [entry.strategy for entry in history.entries()] == ["isolated_cube"] * 3 + ["default_4096"]


def test_several_seeds_and_configurations(tmp_path: Path) -> None:
    references = resolve(["isolated_cube", "default_4096"], None)
    configs = [spec.task_config(label, **SHORT) for label in ("n32-k8", "n50-k8")]
    with Recorder(tmp_path / "history") as recorder:
        made = sides(references, configs, [7, 42], "full", Options(), recorder, lambda configs: Noting([]))
    for side in made:
        assert list(side.evaluations) == ["n32-k8", "n50-k8"]
        for label, evaluated in side.evaluations.items():
            places = [(each.provenance.strategy, each.provenance.seed, each.config.label) for each in evaluated]
            assert places == [(side.name, 7, label), (side.name, 42, label)]


def test_a_sealed_evaluation_is_not_evaluated_beside(tmp_path: Path, evaluation: Evaluation) -> None:
    sealed = replace(evaluation, provenance=replace(evaluation.provenance, seal="0" * 64))
    document.save(sealed, tmp_path / "sealed.json")
    references = resolve([str(tmp_path / "sealed.json"), "isolated_cube"], None)
    with Recorder(tmp_path / "history") as recorder, pytest.raises(UsageError, match="a sealed evaluation is compared"):
        sides(references, [], [], "", Options(), recorder, lambda configs: Noting([]))
