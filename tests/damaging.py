"""Changes a history's file as a defect or somebody else would."""

import sqlite3
from hashlib import sha256
from pathlib import Path

from vecparity.history import version_2


def changed(path: Path, column: str, value: object, *, redigest: bool = True, table: str = "evaluations") -> None:
    """Changes a column, and makes the digests those of what is there."""
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        if redigest:
            digested(connection)
    connection.close()


def digested(connection: sqlite3.Connection) -> None:
    """Makes all digests those of what is there."""
    execute = connection.execute
    for part in ("document", "curves"):
        for id_, data in execute(f"SELECT id, {part} FROM {part.removesuffix('s')}s").fetchall():
            if isinstance(data, bytes):
                execute(f"UPDATE evaluations SET {part}_sha256 = ? WHERE id = ?", (sha256(data).digest(), id_))
    connection.row_factory = sqlite3.Row
    for row in execute("SELECT * FROM evaluations").fetchall():
        values = dict(row)
        if isinstance(values["summary"], str):
            values["summary_sha256"] = sha256(values["summary"].encode()).digest()
        row_sha256 = version_2.row_digest(values)
        set_ = "UPDATE evaluations SET summary_sha256 = ?, row_sha256 = ? WHERE id = ?"
        execute(set_, (values["summary_sha256"], row_sha256, values["id"]))
    connection.row_factory = None
