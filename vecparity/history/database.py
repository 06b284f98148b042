"""The history's file: an SQLite database, opened only if it is intact, vecparity's own, and of a known version."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from vecparity.errors import MachineError, UsageError, printable
from vecparity.evaluation import serialization
from vecparity.history import version_1, version_2, version_3

# Values in the file's header: the owner, and the version of the tables and of the `serialization.FORMAT` in them.
_APPLICATION = int.from_bytes(b"vpar", "big")
VERSION = 3
# The tables of each version that can be read, as SQL.
_TABLES = {1: version_1.TABLES, 2: version_2.TABLES, VERSION: version_3.TABLES}
# The largest file whose pages are all checked whenever it is opened. Of larger ones, `History.check` checks them, and
# every row is checked by its digests when it is read.
_MOST_CHECKED_BYTES = 64 << 20
# Time to wait for other processes that are writing; each write takes milliseconds.
_WAIT_SECONDS = 60.0
_SCHEMA = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"


def connect(path: Path, *, create: bool) -> tuple[sqlite3.Connection, int] | None:
    """Opens a history.

    Args:
        path: The file.
        create: Whether to create the file if it does not exist, and check that it can be written; not if the version is
            an earlier one.

    Returns:
        The connection, and the version of the tables; None if the history does not exist or is empty, and ``create`` is
        false.

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
            connection.execute("BEGIN")  # one state of the file throughout: others may be making its tables
            is_empty = _check(connection, path)
            connection.execute("COMMIT")
            if create and (is_empty or _pragma(connection, "user_version") == VERSION):
                _prepare(connection)
            elif is_empty:
                connection.close()
                return None
            return connection, _pragma(connection, "user_version")
        except BaseException:
            connection.close()
            raise


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
    application, version = (_pragma(connection, name) for name in ("application_id", "user_version"))
    objects = connection.execute(_SCHEMA).fetchall()
    is_empty = not objects and not application
    if application != _APPLICATION and not is_empty:
        raise UsageError(f"{path} must be a vecparity history, got another program's database")
    if version > VERSION:
        raise UsageError(
            f"{path} is the history of a newer vecparity: expected version {VERSION}, got {version} "
            "(upgrade, or use another with --history FILE)"
        )
    if _pragma(connection, "page_count") * _pragma(connection, "page_size") <= _MOST_CHECKED_BYTES:
        check_pages(connection, "quick_check")
    if not is_empty and objects != _own_schema(version):  # a trigger, for example, could write what nobody recorded
        raise sqlite3.DatabaseError("tables or triggers that are not vecparity's")
    return is_empty


def check_pages(connection: sqlite3.Connection, how: Literal["quick_check", "integrity_check"]) -> None:
    """Checks the structure of all pages; the integrity check compares indices with their tables, too.

    Raises:
        DatabaseError: The file is damaged.
    """
    (problem,) = connection.execute(f"PRAGMA {how}(1)").fetchone()
    if problem != "ok":
        raise sqlite3.DatabaseError(" ".join(problem.split()))


def _prepare(connection: sqlite3.Connection) -> None:
    """Makes missing tables, and checks that the file can be written."""
    with writing(connection):
        if not _pragma(connection, "application_id"):
            make_tables(connection)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")


def make_tables(connection: sqlite3.Connection, version: int = VERSION) -> None:
    """Makes the tables of a version, within the caller's transaction."""
    for statement in _TABLES[version].split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")


def add_tables(connection: sqlite3.Connection) -> None:
    """Makes version 3 of version 2, within the caller's transaction."""
    for statement in version_3.ADDED.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


@cache
def _own_schema(version: int) -> list[tuple[str, str, str]] | None:
    """Returns the schema of a version's tables, as SQLite reports it."""
    if version not in _TABLES:
        return None
    connection = sqlite3.connect(":memory:")
    make_tables(connection, version)
    objects = connection.execute(_SCHEMA).fetchall()
    connection.close()
    return objects
