import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

optuna = pytest.importorskip("optuna", reason="needs pip install 'vecparity[search]'")

from vecparity import Choice, Range  # noqa: E402
from vecparity.errors import MachineError, UsageError  # noqa: E402
from vecparity.strategy.parameters import Value  # noqa: E402
from vecparity.strategy.space import Space  # noqa: E402
from vecparity.tuning.objective import Pair  # noqa: E402
from vecparity.tuning.sampling import SamplerName, require_optuna  # noqa: E402
from vecparity.tuning.study import Study, TrialOutcome  # noqa: E402

SPACE: Space = {"kind": Choice("a", True, 2), "lr": Range(1e-3, 0.1, log=True), "rows": Range(1, 100)}
NUMBERS: Space = {"lr": SPACE["lr"], "wd": Range(0.0, 1.0)}
IDENTITY = {"strategy": "abc", "seed": 1, "ranges": "1:2"}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    require_optuna()
    yield
    optuna.logging.set_verbosity(before)


def study(path: Path | None = None, space: Space = SPACE, sampler: SamplerName = "tpe", **change: Any) -> Study:
    return Study(path, {**IDENTITY, **change}, space, sampler, 1)


def complete(value: Value) -> TrialOutcome:
    assert isinstance(value, float)
    return TrialOutcome("complete", value, value, 100.0, [Pair(0, 0, value, 100)])


def play(study: Study, batches: int = 3, batch: int = 4) -> list[dict[str, Any]]:
    """Makes trials whose value is their learning rate; returns the values that were asked for."""
    asked: list[dict[str, Any]] = []
    for _ in range(batches):
        for number, params in study.ask(batch):
            study.tell(number, complete(params["lr"]))
            asked.append(params)
    return asked


def test_asked_for_are_values_of_the_space() -> None:
    with study() as own:
        for params in play(own):
            assert list(params) == list(SPACE)
            assert all(value in SPACE[name] for name, value in params.items())


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp", "random"])
def test_the_same_seed_asks_for_the_same_in_one_sitting_or_several(sampler: SamplerName, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with study(space=NUMBERS, sampler=sampler) as whole:
        expected = play(whole)
    apart = []
    for _ in range(3):
        with study(path, NUMBERS, sampler) as part:
            apart += play(part, 1)
    assert apart == expected
    assert len({repr(params) for params in apart}) == len(apart)


def test_outcomes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "study ? %20 é.db"
    pairs = [Pair(0, 1, 0.25, 7), Pair(1, 0, 0.75, 9)]
    with study(path) as own:
        (a, first), (b, _), (c, _) = own.ask(3)
        own.tell(a, TrialOutcome("complete", 0.49, 0.5, 8.0, pairs))
        own.tell(b, TrialOutcome("dropped", None, 0.1, 9.0, pairs[:1]))
        told = own.tell(c, TrialOutcome("failed", error="mine.py: words"))
        assert (told.state, told.error, told.accuracy, told.num_runs) == ("failed", "mine.py: words", None, 0)
    with study(path) as again:
        assert [(trial.number, trial.state, trial.num_runs) for trial in again.trials] == [
            (0, "complete", 2),
            (1, "dropped", 1),
            (2, "failed", 0),
        ]
        assert again.trials[0].params == first
        best = again.best()
        assert best is not None
        assert (best.value, best.pairs) == (0.49, pairs)
        assert [trial.number for trial in again.ranked(5)] == [0]
        assert len(again.known()) == 3
    assert path.exists()
    assert list(tmp_path.iterdir()) == [path]  # the lock is gone


def test_what_was_being_evaluated_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with study(path) as own:
        asked = own.ask(4)
        own.tell(asked[1][0], complete(0.5))
    with study(path) as again:
        assert [trial.number for trial in again.trials] == [1]
        values = [params for _, params in again.ask(4)]
    assert values[:3] == [asked[0][1], asked[2][1], asked[3][1]]


def test_a_trial_without_values_is_left_and_no_seed_serves_twice(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with study(path, NUMBERS) as own:
        own.first({"lr": 0.02})
        own._study.ask()  # and no values are asked for, as where the process is killed
        own._study.ask()
    with study(path, NUMBERS) as again:
        values = [params for _ in range(6) for _, params in again.ask(1)]
    assert values[0]["lr"] == 0.02
    assert len({str(params) for params in values}) == 6
    assert len({params["wd"] for params in values}) == 6


def test_a_study_begins_with_the_values_at_hand() -> None:
    own = {"kind": True, "lr": 0.02, "rows": 5, "other": 7}
    with study() as new:
        new.first(own)
        first, second = (params for _, params in new.ask(2))
        assert first == {"kind": True, "lr": 0.02, "rows": 5}
        assert second != first
        new.first(own)
        assert new.ask(1)[0][1] != first
    with study() as other:
        other.first({"lr": 0.5, "rows": 5})  # outside of its range
        assert other.ask(1)[0][1]["rows"] == 5


def test_equal_trials_rank_once() -> None:
    with study(space={"kind": Choice("a", "b")}) as own:
        for number, params in own.ask(6):
            own.tell(number, complete(0.5 if params["kind"] == "a" else 0.6))
        ranked = own.ranked(5)
    assert [trial.params["kind"] for trial in ranked] == ["b", "a"]
    assert ranked[0].number < 6


def test_importances_need_trials_that_differ() -> None:
    with study(space=NUMBERS) as own:
        assert own.importances() == {}
        for number, params in own.ask(30):
            own.tell(number, complete(params["lr"]))
        importances = own.importances()
    assert list(importances) == ["lr", "wd"]
    assert importances["lr"] > importances["wd"]
    with study(space=NUMBERS) as same:
        for number, _ in same.ask(30):
            same.tell(number, complete(0.5))
        assert same.importances() == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"strategy": "def"}, "study.db is of another search: expected strategy 'abc', got 'def'"),
        ({"seed": 2}, "expected seed 1, got 2"),
        ({"ranges": "1:3"}, "expected ranges '1:2', got '1:3'"),
    ],
)
def test_a_study_of_another_search_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with study(tmp_path / "study.db") as own:
        play(own, 1)
    with pytest.raises(UsageError, match=said):
        study(tmp_path / "study.db", **change)


def test_a_study_serves_one_process_at_a_time(tmp_path: Path) -> None:
    with study(tmp_path / "study.db"), pytest.raises(UsageError, match=r"study.db.lock is in use by .*, pid \d+"):
        study(tmp_path / "study.db")
    with study(tmp_path / "study.db"):
        pass


def test_other_files_stay_as_they_are(tmp_path: Path) -> None:
    words, tables = tmp_path / "words.db", tmp_path / "tables.db"
    words.write_text("words " * 1000)
    with sqlite3.connect(tables) as connection:
        connection.execute("create table evaluations (id)")
    connection.close()
    for path, said in ((words, "words.db, which is no SQLite file"), (tables, "tables.db, which holds something else")):
        before = path.read_bytes()
        with pytest.raises(UsageError, match=said):
            study(path)
        assert path.read_bytes() == before


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the study must be a file in a directory that exists, got .*not/study.db"):
        study(tmp_path / "not" / "study.db")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the study must be a file in a directory that exists, got "):
        study(tmp_path)
    with pytest.raises(MachineError, match=r"the study /proc/study\.db cannot be written: "):
        study(Path("/proc/study.db"))


def test_optunas_own_tools_open_it(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with study(path) as own:
        play(own)
    loaded = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    assert loaded.best_value == max(trial.params["lr"] for trial in loaded.trials)
    assert loaded.best_trial.user_attrs["mean_steps"] == 100.0
    loaded._storage.remove_session()
