"""Migration of a history of an earlier version, in one transaction."""

import os
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

from vecparity.errors import UsageError
from vecparity.history.database import VERSION, add_tables, connect, make_tables, telling, writing
from vecparity.history.version_1 import Version1
from vecparity.history.version_2 import Version2


def migrate(path: Path) -> Path:
    """Migrates a history of an earlier version, all of it or, after an error or if this process is killed, nothing.

    Ids, times and commands stay. The file as it was is kept beside it, since earlier versions of vecparity cannot read
    the new one.

    Args:
        path: The history.

    Returns:
        The path of the copy of the old file.

    Raises:
        UsageError: The history does not exist, or is not of an earlier version.
        MachineError: An evaluation is damaged, or the file cannot be read or written.
    """
    opened = connect(path, create=False)
    expected = f"expected a history of a version before {VERSION} to migrate"
    if opened is None:
        raise UsageError(f"{expected}, got none in {path}")
    connection, version = opened
    try:
        with telling(path):
            with writing(connection):  # from here on nobody else writes
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version == VERSION:
                    raise UsageError(f"{expected}, got version {version} in {path}")
                backup = _copy(path, version)
                try:
                    if version == 1:
                        _migrate_1(connection, path)
                    else:
                        add_tables(connection)
                except BaseException:
                    backup.unlink(missing_ok=True)
                    raise
            connection.execute("VACUUM")  # returns the old tables' room
    finally:
        connection.close()
    return backup


def _migrate_1(connection: sqlite3.Connection, path: Path) -> None:
    for table in ("evaluations", "strategies"):
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    connection.execute("DROP INDEX evaluations_repetition")
    make_tables(connection)
    old = Version1(connection, path, suffix="_1")
    new = Version2(connection, path, has_notes=True)
    for found in old.select("TRUE ORDER BY id"):
        entry = found.entry
        new.add(new.row(found.evaluation, entry.recorded_at, entry.command, entry.id), found.source)
    # An id is never reused, even that of an evaluation that somebody deleted.
    connection.execute(
        "UPDATE sqlite_sequence SET seq = (SELECT max(seq) FROM sqlite_sequence) WHERE name = 'evaluations'"
    )
    for table in ("evaluations", "strategies"):
        connection.execute(f"DROP TABLE {table}_1")


def _copy(path: Path, version: int) -> Path:
    """Copies the database to the first free name beside it, whole or not at all, and returns the name.

    SQLite copies, by another connection than the one that is writing: had this process the file open otherwise, closing
    it would release the database's locks.
    """
    names = (path.with_name(f"{path.name}.version-{version}{f'.{n}' if n > 1 else ''}") for n in count(1))
    backup = next(name for name in names if not name.exists())
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(temporary)) as target:
            source.backup(target)
        temporary.chmod(path.stat().st_mode & 0o777)
        os.replace(temporary, backup)
    finally:
        temporary.unlink(missing_ok=True)
    return backup
