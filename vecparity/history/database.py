"""The history's file: an SQLite database, opened only if it is intact, vecparity's own, and of a known version."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from vecparity.errors import MachineError, UsageError, printable
from vecparity.evaluation import serialization

# Values in the file's header: the owner, and the version of the tables and of the `serialization.FORMAT` in them.
_APPLICATION = int.from_bytes(b"vpar", "big")
VERSION = 1
# Time to wait for other processes that are writing; each write takes milliseconds.
_WAIT_SECONDS = 60.0
_TABLES = """
CREATE TABLE strategies (sha256 TEXT PRIMARY KEY, source BLOB NOT NULL);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recorded_at TEXT NOT NULL,
    command TEXT NOT NULL,
    strategy TEXT NOT NULL,
    strategy_sha256 TEXT NOT NULL REFERENCES strategies,
    seed INTEGER NOT NULL,
    label TEXT NOT NULL,
    protocol TEXT NOT NULL,
    engine TEXT NOT NULL,
    test_accuracy REAL,
    mean_steps REAL,
    num_runs INTEGER NOT NULL,
    num_diverged INTEGER NOT NULL,
    failed_audits TEXT NOT NULL,
    seal TEXT,
    wall_seconds REAL NOT NULL,
    repetition TEXT NOT NULL,
    document BLOB NOT NULL
);
CREATE INDEX evaluations_repetition ON evaluations (repetition);
"""
_SCHEMA = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"


def connect(path: Path, *, create: bool) -> sqlite3.Connection | None:
    """Opens a history.

    Args:
        path: The file.
        create: Whether to create the file if it does not exist, and check that it can be written.

    Returns:
        The connection; None if the history does not exist or is empty, and ``create`` is false.

    Raises:
        UsageError: The file belongs to another program or a newer version.
        MachineError: The file is damaged, or cannot be read or written. It is left unchanged.
    """
    if not create and not path.exists():
        return None
    with telling(path):
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # opening a pipe would block
            raise OSError(errno.EINVAL, "Not a regular file")
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, serialization.MOST_BYTES)  # limits each value and row
            is_empty = _check(connection, path)
            if create:
                _prepare(connection)
            elif is_empty:
                connection.close()
                return None
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """Runs the block as one transaction: all of it takes effect or nothing, even if this process is killed."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turns errors of the file into one-line errors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise MachineError(f"the history {path} cannot be read or written: {printable(str(error))}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # even SQLite's own message may fail to decode
        raise MachineError(
            f"the history {path} is damaged and was not changed: {printable(str(error))} "
            "(use another with --history FILE)"
        ) from error
    except OSError as error:
        raise MachineError(f"the history {path} cannot be created: {error.strerror}") from error


def _check(connection: sqlite3.Connection, path: Path) -> bool:
    """Refuses a file that is not a history or that this version cannot read; returns whether the history is empty."""
    execute = connection.execute
    application, version = (execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    objects = execute(_SCHEMA).fetchall()
    is_empty = not objects and not application
    if application != _APPLICATION and not is_empty:
        raise UsageError(f"{path} must be a vecparity history, got another program's database")
    if version > VERSION:
        raise UsageError(
            f"{path} is the history of a newer vecparity: expected version {VERSION}, got {version} "
            "(upgrade, or use another with --history FILE)"
        )
    (problem,) = execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise sqlite3.DatabaseError(" ".join(problem.split()))
    if not is_empty and objects != _own_schema():  # a trigger, for example, could write entries that nobody recorded
        raise sqlite3.DatabaseError("tables or triggers that are not vecparity's")
    return is_empty


def _prepare(connection: sqlite3.Connection) -> None:
    """Makes missing tables, and checks that the file can be written."""
    with writing(connection):
        if not connection.execute("PRAGMA application_id").fetchone()[0]:
            _make_tables(connection)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        connection.execute(statement)


@cache
def _own_schema() -> list[tuple[str, str, str]]:
    """Returns the schema that `_make_tables` makes, as SQLite reports it."""
    connection = sqlite3.connect(":memory:")
    _make_tables(connection)
    objects = connection.execute(_SCHEMA).fetchall()
    connection.close()
    return objects
