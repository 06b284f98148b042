"""Version 3 of the history's tables: those of version 2, notes about evaluations, and what commands reused.

A note has a person's words about an evaluation, and whether it was imported.
"""

import sqlite3
from collections.abc import Iterable

from vecparity.history import version_2

ADDED = """
CREATE TABLE notes (
    id INTEGER PRIMARY KEY REFERENCES evaluations,
    note TEXT,
    is_imported INTEGER NOT NULL,
    note_sha256 BLOB NOT NULL
);
CREATE TABLE reused (
    command TEXT NOT NULL,
    id INTEGER NOT NULL REFERENCES evaluations,
    newest INTEGER NOT NULL
);
"""
TABLES = version_2.TABLES + ADDED


def note_reuse(connection: sqlite3.Connection, command: str, ids: Iterable[int]) -> None:
    """Notes that a command used evaluations that were there. The caller's transaction makes it atomic.

    What an earlier command used is forgotten: only the newest is asked for.
    """
    connection.execute("DELETE FROM reused WHERE command != ?", (command,))
    for id_ in ids:
        connection.execute("INSERT INTO reused SELECT ?, ?, max(id) FROM evaluations", (command, id_))


def newest_command(connection: sqlite3.Connection) -> list[int]:
    """Returns the ids of the evaluations that the newest command recorded or reused, ascending."""
    # A command that recorded nothing is the newest if no evaluation was recorded since.
    newest = """
        SELECT command FROM (
            SELECT command, newest, 1 AS is_reuse, rowid AS number FROM reused
            UNION ALL SELECT command, id, 0, 0 FROM evaluations
        ) ORDER BY newest DESC, is_reuse DESC, number DESC LIMIT 1
    """
    ids = "SELECT id FROM evaluations WHERE command = :command UNION SELECT id FROM reused WHERE command = :command"
    row = connection.execute(newest).fetchone()
    return [id_ for (id_,) in connection.execute(f"{ids} ORDER BY id", {"command": row and row[0]})]
