from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import RunCommand
from made import made

from vecparity import Evaluation, leaderboard
from vecparity.errors import MachineError, UsageError
from vecparity.history import pruning
from vecparity.history.database import VERSION
from vecparity.history.fingerprint import fingerprint
from vecparity.history.recorder import recorder
from vecparity.history.store import History
from vecparity.report import html
from vecparity.strategy.source import Strategy, load
from vecparity.training.curve import Curve

CUBE = load("isolated_cube")
RANKED = made("mine", [[(1_750, 0.75)] * 3] * 5)


@pytest.fixture
def at(tmp_path: Path, evaluation: Evaluation) -> Path:
    """A history of four evaluations: one that is sealed, and one that ranks."""
    path = tmp_path / "history"
    sealed = replace(evaluation, provenance=replace(evaluation.provenance, seal="ab" * 32))
    with History(path, create=True) as history:
        for one in (evaluation, sealed, evaluation):
            history.add(one, CUBE, "a")
        history.add(RANKED, Strategy("mine", "mine.py", b"mine"), "b")
    return path


def prune(path: Path, *ids: int) -> None:
    with History(path) as history:
        entries = [history.get(id_).entry for id_ in ids]
    pruning.prune_curves(path, entries)


def test_all_but_curves_stays(at: Path, evaluation: Evaluation) -> None:
    size = at.stat().st_size
    with History(at) as history:
        before, summaries = history.evaluations(), history.summaries()
    prune(at, 1, 4)
    with History(at) as history:
        after = history.evaluations()
        assert history.summaries() == summaries
        assert history.check() == 4
        assert [entry.has_curves for entry in history.entries()] == [False, True, True, False]
    assert at.stat().st_size <= size
    for old, new in zip(before, after, strict=True):
        assert new.source == old.source
        assert replace(new.evaluation, curves=old.evaluation.curves) == old.evaluation
        assert replace(new.entry, has_curves=True) == old.entry
        if not new.entry.has_curves:
            assert all(run.curve == Curve() for run in new.evaluation.curves)
    assert after[1:3] == before[1:3]
    assert leaderboard([after[3].evaluation]) == leaderboard([RANKED])
    assert "There are no windows to draw" in html([after[0].evaluation])


def test_what_has_no_curves_is_not_reused(at: Path, evaluation: Evaluation) -> None:
    digest = fingerprint(evaluation.config, evaluation.provenance)
    for ids, newest in (((), 3), ((3,), 1), ((1,), None)):
        prune(at, *ids)
        with recorder(at, reuse=True) as records, History(at) as history:
            recalled = records.recall(evaluation.config, evaluation.provenance)
            assert recalled == (evaluation if newest else None)
            assert [found.entry.id for found in history.same(digest)] == [3, 1]


def test_pruning_twice_changes_nothing(at: Path) -> None:
    prune(at, 1)
    with History(at) as history:
        before = history.evaluations()
    prune(at, 1)
    with History(at) as history:
        assert history.evaluations() == before


def test_a_damaged_one_leaves_all_as_they_are(at: Path) -> None:
    with History(at) as history:
        entries = history.entries()
    with History(at, create=True) as history:
        history._connection.execute("UPDATE curves SET curves = x'00' WHERE id = 3")
    before = at.read_bytes()
    with pytest.raises(MachineError, match="evaluation 3 is damaged: "):
        pruning.prune_curves(at, entries)
    assert at.read_bytes() == before


def test_version_1_is_not_pruned(tmp_path: Path) -> None:
    sample = Path(__file__).parent / "samples" / "version-1.sqlite3"
    before = sample.read_bytes()
    for path, got in ((sample, r"version 1 \(vecparity history --migrate\)"), (tmp_path / "nowhere", "none")):
        with pytest.raises(UsageError, match=f"expected a history of version {VERSION} in .*, got {got}"):
            pruning.prune_curves(path, [])
    assert sample.read_bytes() == before


def test_the_command_asks_first(at: Path, run_command: RunCommand) -> None:
    before = at.read_bytes()
    arguments = "history", "--history", str(at), "--prune-curves"
    status, out, err = run_command(*arguments, "--strategy", "isolated_cube")
    assert (status, err) == (0, "")
    assert out == "--yes drops the curves of 2 of 3 evaluations (1 are sealed or have none), 0.0 MiB\n"
    assert at.read_bytes() == before
    assert run_command(*arguments, "--sort", "oldest", "--limit", "1", "--yes")[1] == (
        "dropped the curves of 1 of 1 evaluations, 0.0 MiB\n"
    )
    assert run_command(*arguments)[1].startswith("--yes drops the curves of 2 of 4 evaluations (2 are ")
    assert "no curves" in run_command("history", "--history", str(at))[1]
    with History(at) as history:
        assert [entry.has_curves for entry in history.entries()] == [False, True, True, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--yes", "--yes requires --prune-curves, got --yes"),
        ("--migrate --yes", "--yes requires --prune-curves, got --migrate --yes"),
        ("--migrate --check", "expected one of --prune-curves, --migrate, --check, got --migrate and --check"),
        ("--prune-curves --seed 7", "no recorded evaluation matches (0 of 4)"),
        ("--before 0001-01-01", "before must be 1970 or later, got 1-01-01"),
    ],
)
def test_wrong_use_is_one_line(at: Path, run_command: RunCommand, arguments: str, said: str) -> None:
    status, out, err = run_command("history", "--history", str(at), *arguments.split())
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_before_a_time(at: Path, run_command: RunCommand) -> None:
    listed: list[list[Any]] = []
    for before in ("2999-01-01", "2020-01-01"):
        out = run_command("history", "--history", str(at), "--before", before, "--format", "csv")[1]
        listed.append(out.splitlines()[1:])
    assert [len(each) for each in listed] == [4, 0]
