import os
import pickle
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from conftest import SHORT, STRATEGIES
from evaluation_strategies import bits, evaluations
from hypothesis import given
from hypothesis import strategies as st

from vecparity import Evaluation, evaluate
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation import serialization
from vecparity.history import database
from vecparity.history import store as module
from vecparity.history.database import VERSION
from vecparity.history.fingerprint import fingerprint
from vecparity.history.records import named_protocol
from vecparity.history.store import History
from vecparity.strategy.source import load
from vecparity.task.config import task_config

CUBE = load("isolated_cube")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "history.sqlite3"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    with History(path, create=True) as made:
        yield made


def test_what_is_recorded_is_given_back(history: History, evaluation: Evaluation) -> None:
    id_ = history.add(evaluation, CUBE, "first")
    recorded = history.get(id_)
    assert serialization.dumps(recorded.evaluation) == serialization.dumps(evaluation)
    assert recorded.source == Path(CUBE.path).read_bytes()
    entry = recorded.entry
    assert (entry.strategy, entry.strategy_sha256, entry.seed) == ("isolated_cube", CUBE.sha256, 42)
    assert (entry.label, entry.engine, entry.num_runs, entry.command) == ("n32-k8", "native", 4, "first")
    assert (entry.test_accuracy, entry.mean_steps) == (evaluation.metrics.test_accuracy, 60)


@given(data=st.data())
def test_any_evaluation_is_given_back_exactly(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    evaluation = data.draw(evaluations(CUBE.sha256))
    with History(tmp_path_factory.getbasetemp() / "history-of-any", create=True) as history:
        recorded = history.get(history.add(evaluation, CUBE, "a"))
    assert recorded.evaluation == evaluation
    assert bits(asdict(recorded.evaluation)) == bits(asdict(evaluation))


def test_what_is_too_large_to_be_read_is_not_recorded(
    history: History, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serialization, "_MOST_NUMBERS", 10)
    with pytest.raises(
        MachineError, match=r"evaluation of isolated_cube is too large to be kept: expected at most 10 numbers"
    ):
        history.add(evaluation, CUBE, "a")
    assert history.entries() == []


def test_overridden_settings_are_no_protocol(history: History, evaluation: Evaluation) -> None:
    assert history.get(history.add(evaluation, CUBE, "a")).entry.protocol == "custom"
    for config, protocol, expected in [
        (task_config("n50-k8"), "full", "full"),
        (task_config("n32-k8", smoke=True), "full+smoke", "full+smoke"),
        (task_config("n32-k8", protocol="published"), "full", "custom"),
        (task_config("n32-k8"), "custom", "custom"),
    ]:
        made = replace(evaluation, config=config, provenance=replace(evaluation.provenance, protocol=protocol))
        assert named_protocol(made) == expected


def test_without_a_score_it_is_recorded_too(history: History, diverged: Evaluation) -> None:
    chosen = load(STRATEGIES / "diverges.py")
    recorded = history.get(history.add(diverged, chosen, "first"))
    assert (recorded.entry.test_accuracy, recorded.entry.mean_steps, recorded.entry.num_runs) == (None, None, 4)
    assert recorded.evaluation.diverged == diverged.diverged


def test_ids_count_up_and_a_source_is_kept_once(history: History, evaluation: Evaluation, path: Path) -> None:
    ids = [history.add(evaluation, CUBE, command) for command in "abc"]
    assert ids == [1, 2, 3]
    assert [(entry.id, entry.command) for entry in history.entries()] == [(1, "a"), (2, "b"), (3, "c")]
    assert [recorded.entry.id for recorded in history.evaluations([3, 1])] == [3, 1]
    assert [recorded.entry.id for recorded in history.evaluations()] == [1, 2, 3]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT sha256 FROM strategies").fetchall() == [(CUBE.sha256,)]
    connection.close()
    with pytest.raises(UsageError, match=r"history\.sqlite3 has no evaluation 4 \(vecparity history lists them\)$"):
        history.get(4)


def test_the_same_is_found_newest_first(history: History, evaluation: Evaluation) -> None:
    digest = fingerprint(evaluation.config, evaluation.provenance)
    assert list(history.same(digest)) == []
    history.add(evaluation, CUBE, "a")
    history.add(replace(evaluation, provenance=replace(evaluation.provenance, seed=43)), CUBE, "b")
    history.add(evaluation, CUBE, "c")
    assert [recorded.entry.command for recorded in history.same(digest)] == ["c", "a"]


def test_reading_makes_no_file(path: Path) -> None:
    with pytest.raises(UsageError, match=r"no evaluations are recorded yet: vecparity eval records them in .*sqlite3$"):
        History(path)
    assert not path.parent.exists()


def refused(path: Path, error: type[Exception], said: str) -> None:
    """Neither reading nor writing is possible, and the file stays as it is."""
    before = path.read_bytes()
    for create in (False, True):
        with pytest.raises(error, match=said) as raised:
            History(path, create=create)
        assert len(str(raised.value).splitlines()) == 1
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_newer_version_is_refused(history: History, path: Path) -> None:
    history.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    refused(path, UsageError, rf"of a newer vecparity: expected version {VERSION}, got {VERSION + 1}")


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "bookmarks") as connection:
        connection.execute("CREATE TABLE bookmarks (place TEXT)")
    connection.close()
    refused(tmp_path / "bookmarks", UsageError, "got another program's database$")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Dear diary, " * 100)
    refused(tmp_path / "notes.txt", MachineError, "is damaged and was not changed: file is not a database")


def test_one_whose_tables_are_just_being_made_is_no_other_programs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WAIT_SECONDS", 0.1)
    pragma = database._pragma

    def interrupted(connection: sqlite3.Connection, name: str) -> int:
        value = pragma(connection, name)
        monkeypatch.setattr(database, "_pragma", pragma)
        with suppress(MachineError):  # waits for the one that checks
            History(path, create=True).close()
        return value

    monkeypatch.setattr(database, "_pragma", interrupted)
    with History(path, create=True) as history:
        assert history.entries() == []


def test_a_damaged_database_is_refused(history: History, evaluation: Evaluation, path: Path) -> None:
    for _ in range(20):
        history.add(evaluation, CUBE, "a")
    history.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 3 + 64] = bytes(range(64))
    path.write_bytes(content)
    refused(path, MachineError, "is damaged and was not changed: ")


def test_damage_in_a_large_file_is_found_where_it_is_read(
    history: History, evaluation: Evaluation, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a large file is not checked whenever it is opened."""
    monkeypatch.setattr(database, "_MOST_CHECKED_BYTES", 0)
    for _ in range(40):
        history.add(evaluation, CUBE, "a")
    history.close()
    with History(path) as read:
        entries = read.entries()
    content, found = path.read_bytes(), 0
    for page in range(1, len(content) // 4096):
        begin = 4096 * page + 16
        path.write_bytes(content[:begin] + bytes(range(200)) + content[begin + 200 :])
        try:
            with History(path) as read:
                read.check()
                assert read.entries() == entries, "checked, but not what was recorded"
                assert all(each.evaluation == evaluation for each in read.evaluations())
        except MachineError:
            found += 1
    assert found > 5


def test_a_damaged_document_is_named(history: History, evaluation: Evaluation, path: Path) -> None:
    history.add(evaluation, CUBE, "a")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE documents SET document = x'00'")
    connection.close()
    with pytest.raises(MachineError, match=r"history\.sqlite3: evaluation 1 is damaged"):
        history.get(1)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON evaluations BEGIN UPDATE evaluations SET test_accuracy = 1; END",
        "ALTER TABLE evaluations ADD COLUMN more TEXT",
        "DROP INDEX evaluations_repetition",
    ],
)
def test_what_somebody_else_made_of_it_is_refused(history: History, path: Path, statement: str) -> None:
    history.close()
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    refused(path, MachineError, "tables or triggers that are not vecparity's")


def test_nothing_in_it_is_nothing_recorded(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError, match="no evaluations are recorded yet"):
        History(tmp_path / "empty")


def test_an_empty_file_becomes_a_history(tmp_path: Path, evaluation: Evaluation) -> None:
    (tmp_path / "empty").touch()
    with History(tmp_path / "empty", create=True) as made:
        assert made.add(evaluation, CUBE, "a") == 1


@pytest.mark.parametrize("where", ["/proc/nowhere/history", "/proc/version"])
def test_a_place_that_cannot_be_written_is_one_line(where: str) -> None:
    with pytest.raises(MachineError, match=f"the history {where} (cannot be|is damaged)") as raised:
        History(Path(where), create=True)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to every file")
def test_a_file_that_cannot_be_written_can_be_read(history: History, evaluation: Evaluation, path: Path) -> None:
    history.add(evaluation, CUBE, "a")
    history.close()
    path.chmod(stat.S_IRUSR)
    with History(path) as read:
        assert len(read.entries()) == 1
    with pytest.raises(MachineError, match="readonly"):
        History(path, create=True)


def test_a_full_disk_loses_nothing_recorded(
    history: History, evaluation: Evaluation, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.add(evaluation, CUBE, "a")
    pages = history._connection.execute("PRAGMA page_count").fetchone()[0]
    history._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(MachineError, match=r"cannot be read or written: database or disk is full"):
        _ = [history.add(evaluation, CUBE, "b") for _ in range(100)]
    history.close()
    with History(path) as read:
        assert read.get(1).entry.command == "a"
        assert read._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_writer_that_waits_too_long_says_so(
    history: History, evaluation: Evaluation, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history._connection.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(database, "_WAIT_SECONDS", 0.1)
    with pytest.raises(MachineError, match="cannot be read or written: database is locked"):
        History(path, create=True)
    history._connection.execute("ROLLBACK")
    assert history.add(evaluation, CUBE, "a") == 1


def test_the_default_place_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert module.default_path() == tmp_path / "vecparity" / "history.sqlite3"


@pytest.mark.usefixtures("can_seal")
def test_a_sealed_evaluation_gives_nothing_away(history: History) -> None:
    sealed = evaluate("isolated_cube", seal_key=bytes(32), **SHORT)
    recorded = history.get(history.add(sealed, CUBE, "a"))
    assert all(data.secret is None for data in recorded.evaluation.datasets)


def test_another_process_opens_the_same_file_in_the_same_way(
    history: History, evaluation: Evaluation, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    history.add(evaluation, CUBE, "a")
    for opened in (history, History(path)):
        pickled = pickle.dumps(opened)
        monkeypatch.chdir(tmp_path)
        with pickle.loads(pickled) as other:
            assert other.get(1).evaluation == evaluation
            if opened is history:
                assert other.add(evaluation, CUBE, "b") == 2
            else:
                with pytest.raises(UsageError, match="to read only"):
                    other.require_additions()
                opened.close()
