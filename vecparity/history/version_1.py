"""Version 1 of the history's tables, which is read only: all that is not listed is in each evaluation's document."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from vecparity.evaluation.summary import Summary, summarize
from vecparity.history.records import Entry, Recorded, damaged, inflate, pages, recorded
from vecparity.task.config import CONFIGURATIONS, PROTOCOLS, task_config

TABLES = """
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
_NAMES = (
    *("id", "recorded_at", "command", "strategy", "strategy_sha256", "seed", "label", "protocol", "engine"),
    *("test_accuracy", "mean_steps", "num_runs", "num_diverged", "failed_audits", "seal", "wall_seconds"),
)
_COLUMNS = ", ".join(_NAMES)


class Version1:
    """The evaluations of a history of version 1.

    Args:
        connection: The open database.
        path: The file, for errors.
        suffix: The end of the tables' names, while they are migrated.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, suffix: str = "") -> None:
        self._connection = connection
        self._path = path
        self._evaluations, self._strategies = f"evaluations{suffix}", f"strategies{suffix}"

    def entries(self, *, newest_first: bool = False) -> Iterator[Entry]:
        """Yields all entries, by id."""
        for rows in pages(self._connection, _COLUMNS, self._evaluations, newest_first=newest_first):
            yield from map(self._entry, rows)

    def select(self, where: str, *values: object) -> Iterator[Recorded]:
        """Yields the evaluations that an SQL condition selects."""
        columns = f"{_COLUMNS}, document, (SELECT source FROM {self._strategies} WHERE sha256 = strategy_sha256)"
        for id_ in self._connection.execute(f"SELECT id FROM {self._evaluations} WHERE {where}", values).fetchall():
            row = self._connection.execute(f"SELECT {columns} FROM {self._evaluations} WHERE id = ?", id_).fetchone()
            entry = self._entry(row[:-2])
            yield recorded(self._path, entry, inflate(self._path, entry.id, "document", row[-2]), row[-1])

    def summaries(self, ids: Collection[int] | None) -> Iterator[Summary]:
        """Yields the summaries of the evaluations that may rank, oldest first, of all or those with the ids."""
        # Documents are large: those with other numbers of runs than any protocol are not read.
        numbers = {task_config(protocol=protocol).num_runs for protocol in PROTOCOLS}
        for entry in list(self.entries()):
            is_asked_for = ids is None or entry.id in ids
            if is_asked_for and entry.label in CONFIGURATIONS and entry.num_runs in numbers:
                yield from (summarize(found.evaluation) for found in self.select("id = ?", entry.id))

    def _entry(self, row: Sequence[object]) -> Entry:
        """Checks the values of a row: SQLite accepts any type in any column."""
        try:
            return msgspec.convert(dict(zip(_NAMES, row, strict=True)), Entry)
        except ValueError as error:
            raise damaged(self._path, row[0], str(error)) from error
