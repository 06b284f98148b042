"""Histories of earlier versions: read as they are; migrated on request or, the default one, before it is changed."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import RunCommand
from damaging import digested
from made import audited, published
from processes import Child

from vecparity import Evaluation, leaderboard
from vecparity.errors import MachineError, UsageError
from vecparity.history import migration
from vecparity.history.changes import note
from vecparity.history.database import VERSION
from vecparity.history.fingerprint import fingerprint
from vecparity.history.records import Recorded
from vecparity.history.store import History, default_path
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import CONFIGURATIONS

SAMPLE = Path(__file__).parent / "samples" / "version-1.sqlite3"
CUBE = load("isolated_cube")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history of version 1: ten evaluations, among them sealed, failed, diverged and ranked ones."""
    return Path(shutil.copy(SAMPLE, tmp_path / "history.sqlite3"))


def everything(path: Path) -> list[Recorded]:
    with History(path) as history:
        return history.evaluations()


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return number


def test_it_is_read_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    with History(path) as history:
        assert (history.version, history.count()) == (1, 10)
        entries = history.entries()
        assert [entry.id for entry in history.each_entry(newest_first=True)] == list(range(10, 0, -1))
        assert [found.entry for found in history.evaluations()] == entries
        assert history.newest_command() == [10]
        assert history.check() == 10
        recorded = history.get(1)
        with closing(sqlite3.connect(path)) as connection:
            digests = [digest for (digest,) in connection.execute("SELECT repetition FROM evaluations ORDER BY id")]
        # Fingerprints of earlier versions hold.
        assert [next(history.same(digest)).entry.id for digest in digests] == list(range(1, 11))
        standings = leaderboard(history.summaries())
    assert [entry.strategy for entry in entries[:4]] == ["isolated_cube"] * 3 + ["multi_epoch"]
    assert all(entry.params == {} and entry.has_curves for entry in entries)
    assert entries[2].failed_audits == "overlap" and entries[1].seal
    assert recorded.source is not None and recorded.source.startswith(b'"""')
    assert fingerprint(recorded.evaluation.config, recorded.evaluation.provenance) == digests[0]
    assert [(each.rank, each.strategy) for each in standings] == [
        (None, "isolated_cube_1"),
        (None, "multi_epoch"),
        (None, "broken"),
    ]
    assert [each.why_unverified for each in standings] == ["not audited"] * 2 + [None]
    assert path.read_bytes() == before


def test_all_commands_read_it(path: Path, run_command: RunCommand, tmp_path: Path) -> None:
    at = ["--history", str(path)]
    for arguments in (
        ["history", "--sort", "accuracy"],
        ["history", "--check"],
        ["leaderboard", "--published"],
        ["show", "2"],
        ["show", "1", "--source"],
        ["compare", "4", "7"],
        ["report", "4", "-o", str(tmp_path / "report.html")],
    ):
        status, _, err = run_command(*arguments, *at)
        assert (status, err) == (0, ""), arguments


def test_what_was_named_is_not_written_to(path: Path, evaluation: Evaluation) -> None:
    before = path.read_bytes()
    said = r"expected a history of version 3 .*, got version 1 .*vecparity history --migrate --history FILE"
    with pytest.raises(UsageError, match=said) as raised:
        History(path, create=True)
    assert len(str(raised.value).splitlines()) == 1
    with History(path) as history, pytest.raises(UsageError, match="to read only"):
        history.add(evaluation, CUBE, "a")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_default_history_goes_on(
    path: Path, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    default_path().parent.mkdir(parents=True)
    shutil.copy(path, default_path())
    with pytest.warns(
        UserWarning, match=r"history\.sqlite3 was migrated to version 3, .*\.version-1 is a copy of the old file"
    ):
        history = History(create=True)
    with history:
        assert history.add(evaluation, CUBE, "a") == 11
        assert history.get(11).evaluation == evaluation
    assert everything(default_path())[:10] == everything(path)
    assert everything(default_path().with_name("history.sqlite3.version-1")) == everything(path)
    with History(create=True) as history:
        assert history.count() == 11


def test_two_that_migrate_the_default_history_at_once_go_on(
    path: Path, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    default_path().parent.mkdir(parents=True)
    shutil.copy(path, default_path())

    def late(given: Path) -> Path:
        migration.migrate(given)  # by another process
        return migration.migrate(given)

    monkeypatch.setattr("vecparity.history.store.migrate", late)
    with History(create=True) as history:
        assert history.add(evaluation, CUBE, "a") == 11


def test_migration_loses_nothing(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE sqlite_sequence SET seq = 100")  # there were more
    before = everything(path)
    with History(path) as history:
        summaries = history.summaries()
    path.chmod(0o640)
    backup = migration.migrate(path)
    assert backup.name == "history.sqlite3.version-1"
    assert {file.name for file in path.parent.iterdir()} == {path.name, backup.name}
    assert everything(path) == everything(backup) == before
    assert [file.stat().st_mode & 0o777 for file in (path, backup)] == [0o640] * 2
    with History(path, create=True) as history:
        assert history.version == VERSION
        assert history.summaries() == [each for each in summaries if each.protocol]
        assert history.check() == 10
        assert history.add(before[0].evaluation, CUBE, "a") == 101
        assert [found.entry.id for found in history.same(fingerprint_of(before[0]))] == [101, 1]
    with pytest.raises(UsageError, match="expected a history of a version before 3 to migrate, got version 3"):
        migration.migrate(path)
    with pytest.raises(UsageError, match=r"expected a history of a version before 3 to migrate, got none in .*nowhere"):
        migration.migrate(path.with_name("nowhere"))


def fingerprint_of(recorded: Recorded) -> str:
    return fingerprint(recorded.evaluation.config, recorded.evaluation.provenance)


def break_a_document(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE evaluations SET document = x'00' WHERE id = 7")


def test_what_cannot_be_migrated_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_a_document(path)
    before = path.read_bytes()
    with pytest.raises(MachineError, match=r"history\.sqlite3: evaluation 7 is damaged"):
        migration.migrate(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_full_disk_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def nearly_full(given: Path, *, create: bool) -> tuple[sqlite3.Connection, int] | None:
        opened = connect(given, create=create)
        assert opened is not None
        pages = opened[0].execute("PRAGMA page_count").fetchone()[0]
        opened[0].execute(f"PRAGMA max_page_count = {pages + 3}")
        return opened

    connect: Callable[..., tuple[sqlite3.Connection, int] | None] = migration.connect
    monkeypatch.setattr(migration, "connect", nearly_full)
    with pytest.raises(MachineError, match="database or disk is full"):
        migration.migrate(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_migration_waits_for_writers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecparity.history.database._WAIT_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(MachineError, match="database is locked"):
            migration.migrate(path)
    assert version(path) == 1
    migration.migrate(path)


def test_the_command_migrates(path: Path, run_command: RunCommand) -> None:
    before = everything(path)
    status, out, err = run_command("history", "--migrate", "--history", str(path))
    assert (status, err) == (0, "")
    assert out == f"{path} was migrated to version {VERSION}; {path}.version-1 is a copy of the old file\n"
    assert everything(path) == before
    content = json.loads(run_command("history", "--history", str(path), "--format", "json")[1])
    assert [record["id"] for record in content] == list(range(10, 0, -1))
    status, _, err = run_command("history", "--migrate", "--history", str(path))
    assert status == 2
    assert "expected a history of a version before 3 to migrate, got version 3" in err


@pytest.mark.slow
def test_migrations_killed_at_any_moment_lose_nothing(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(evaluations)") if row[1] != "id"]
        for _ in range(6):
            names = ", ".join(columns)
            connection.execute(f"INSERT INTO evaluations ({names}) SELECT {names} FROM evaluations")
    before = everything(path)
    program = (
        "import sys; from pathlib import Path; from vecparity.history.migration import migrate\n"
        "print('begins', flush=True); sys.argv[2:] == ['waits'] and sys.stdin.read()\n"
        "migrate(Path(sys.argv[1])); print('done', flush=True)"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program, shutil.copy(path, tmp_path / "whole")], check=True)
    seconds = time.monotonic() - began
    versions = []
    for kill in range(8):
        at = Path(shutil.copy(path, tmp_path / f"killed-{kill}"))
        command = [sys.executable, "-c", program, str(at), *["waits"] * (kill == 0)]  # the first is killed before
        with Child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(seconds * kill / 8)
            child.kill()
            child.communicate()
        assert everything(at) == before
        versions.append(version(at))
        with closing(sqlite3.connect(at)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert set(versions) <= {1, VERSION}
    assert versions[0] == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to every file")
def test_what_cannot_be_written_can_be_read(path: Path) -> None:
    path.chmod(0o400)
    assert len(everything(path)) == 10
    with pytest.raises(MachineError):
        migration.migrate(path)


def test_summaries_that_lack_undecided_audits_are_read(tmp_path: Path) -> None:
    """Those of version 2 that earlier versions of vecparity recorded."""
    path = tmp_path / "history.sqlite3"
    with History(path, create=True) as history:
        for label in CONFIGURATIONS:
            history.add(audited(published("multi_epoch", label)), Strategy("multi_epoch", "", b"multi_epoch"), "a")
        assert leaderboard(history.summaries())[0].rank == 1
    with closing(sqlite3.connect(path)) as connection, connection:
        of_old = "replace(summary, ',\"undecided_audits\":[]', '')"
        assert connection.execute(f"SELECT count(*) FROM evaluations WHERE summary != {of_old}").fetchone() == (3,)
        connection.execute(f"UPDATE evaluations SET summary = {of_old}")
        digested(connection)
    with History(path) as history:
        assert history.check() == 3
        (standing,) = leaderboard(history.summaries())
    assert (standing.rank, standing.why_unverified) == (None, "audits unknown: recorded by an earlier version")


@pytest.fixture
def of_version_2(tmp_path: Path) -> Path:
    """A history of version 2, which has no notes."""
    path = tmp_path / "history.sqlite3"
    with History(path, create=True) as history:
        for label in CONFIGURATIONS:
            history.add(audited(published("multi_epoch", label)), Strategy("multi_epoch", "", b"multi_epoch"), "a")
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("notes", "reused"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 2")
    return path


def test_version_2_is_read_as_it_is(of_version_2: Path, run_command: RunCommand) -> None:
    before = of_version_2.read_bytes()
    with History(of_version_2) as history:
        assert (history.version, history.check()) == (2, 3)
        assert {(entry.note, entry.is_imported) for entry in history.entries()} == {(None, False)}
        assert leaderboard(history.summaries())[0].rank == 1
        assert history.newest_command() == [1, 2, 3]
        assert history.latest().entry.id == 3
    assert run_command("history", "--history", str(of_version_2))[0] == 0
    said = r"expected a history of version 3 .*, got version 2 .*vecparity history --migrate --history FILE"
    with pytest.raises(UsageError, match=said):
        History(of_version_2, create=True)
    assert of_version_2.read_bytes() == before


def test_version_2_is_migrated(of_version_2: Path) -> None:
    before = everything(of_version_2)
    backup = migration.migrate(of_version_2)
    assert backup.name == "history.sqlite3.version-2"
    assert everything(of_version_2) == everything(backup) == before
    assert (version(of_version_2), version(backup)) == (VERSION, 2)
    with History(of_version_2, create=True) as history:
        note(history, [2], "a word")
        assert [entry.note for entry in history.entries()] == [None, "a word", None]
        assert history.check() == 3
