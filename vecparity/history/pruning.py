"""Pruning: drops the curves, which are most of a history, and keeps everything that is listed, ranked or compared."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from vecparity.errors import UsageError
from vecparity.history.database import VERSION, connect, telling, writing
from vecparity.history.records import Entry
from vecparity.history.version_2 import Version2


def prunable(entries: Sequence[Entry]) -> list[Entry]:
    """Returns the entries whose curves can be dropped. Sealed evaluations, which few can repeat, keep theirs."""
    return [entry for entry in entries if entry.has_curves and entry.seal is None]


def bytes_of_curves(path: Path, entries: Sequence[Entry]) -> int:
    """Returns the bytes that the curves of some entries take in the file.

    Raises:
        UsageError, MachineError: See `prune_curves`.
    """
    connection, _ = _opened(path)
    with telling(path):
        try:
            size = "SELECT length(curves) FROM curves WHERE id = ?"
            return sum((connection.execute(size, (entry.id,)).fetchone() or (0,))[0] for entry in entries)
        finally:
            connection.close()


def prune_curves(path: Path, entries: Sequence[Entry]) -> None:
    """Drops the curves of some entries, all or, after an error or if this process is killed, none.

    Args:
        path: The history.
        entries: The entries, see `prunable`.

    Raises:
        UsageError: The history does not exist, or is of an earlier version.
        MachineError: An evaluation is damaged, or the file cannot be read or written.
    """
    connection, tables = _opened(path)
    with telling(path):
        try:
            with writing(connection):
                for entry in entries:
                    tables.prune_curves(entry.id)
            connection.execute("VACUUM")  # returns the curves' room
        finally:
            connection.close()


def _opened(path: Path) -> tuple[sqlite3.Connection, Version2]:
    opened = connect(path, create=False)
    if opened is None or opened[1] != VERSION:
        actual = "none"
        if opened is not None:
            opened[0].close()
            actual = f"version {opened[1]} (vecparity history --migrate)"
        raise UsageError(f"expected a history of version {VERSION} in {path}, got {actual}")
    return opened[0], Version2(opened[0], path, has_notes=True)
