"""Versions 2 and 3 of the history's tables: the list and summaries apart from documents, and these apart from curves.

A row of ``evaluations`` has all that listing, ranking and looking up reads, and digests of all that belongs to it: of
its own values, of its summary, and of its document and curves as they are stored.
"""

import hashlib
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from vecparity.evaluation import serialization
from vecparity.evaluation.params import params_key
from vecparity.evaluation.result import Evaluation
from vecparity.evaluation.summary import Summary, check_summary, summarize
from vecparity.history.fingerprint import fingerprint
from vecparity.history.records import Entry, Recorded, damaged, inflate, listed_values, pages, recorded

TABLES = """
CREATE TABLE strategies (sha256 TEXT PRIMARY KEY, source BLOB NOT NULL);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recorded_at TEXT NOT NULL,
    command TEXT NOT NULL,
    strategy TEXT NOT NULL,
    strategy_sha256 TEXT NOT NULL REFERENCES strategies,
    params TEXT NOT NULL,
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
    has_curves INTEGER NOT NULL,
    repetition TEXT NOT NULL,
    document_sha256 BLOB NOT NULL,
    curves_sha256 BLOB NOT NULL,
    summary_sha256 BLOB NOT NULL,
    row_sha256 BLOB NOT NULL,
    summary TEXT NOT NULL
);
CREATE INDEX evaluations_repetition ON evaluations (repetition);
CREATE TABLE documents (id INTEGER PRIMARY KEY REFERENCES evaluations, document BLOB NOT NULL);
CREATE TABLE curves (id INTEGER PRIMARY KEY REFERENCES evaluations, curves BLOB NOT NULL);
"""
_LISTED = (
    *("recorded_at", "command", "strategy", "strategy_sha256", "params", "seed", "label", "protocol", "engine"),
    *("test_accuracy", "mean_steps", "num_runs", "num_diverged", "failed_audits", "seal", "wall_seconds", "has_curves"),
)
# Columns that `row_sha256` digests, in this order.
_DIGESTED = (*_LISTED, "repetition", "document_sha256", "curves_sha256", "summary_sha256")
_ROW = ("id", *_DIGESTED, "row_sha256")
_NOTED = ("note", "is_imported", "note_sha256")
# Curves are random digits: the highest level takes four times as long and saves a tenth.
_CURVES_LEVEL = 1


@dataclass(frozen=True)
class Row:
    """All that is written of one evaluation: the values of its row, and its compressed document and curves."""

    values: dict[str, Any]
    document: bytes
    curves: bytes


class Version2:
    """The evaluations of a history of version 2 or 3.

    Args:
        connection: The open database.
        path: The file, for errors.
        has_notes: True for version 3.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, has_notes: bool) -> None:
        self._connection = connection
        self._path = path
        noted = (f"(SELECT {name} FROM notes WHERE notes.id = evaluations.id)" for name in _NOTED)
        self._columns = ", ".join([*_ROW, *(noted if has_notes else ["NULL"] * len(_NOTED))])

    def entries(self, *, newest_first: bool = False) -> Iterator[Entry]:
        """Yields all entries, by id."""
        for rows in pages(self._connection, self._columns, "evaluations", newest_first=newest_first):
            yield from map(self._entry, rows)

    def select(self, where: str, *values: object) -> Iterator[Recorded]:
        """Yields the evaluations that an SQL condition selects."""
        columns = (
            f"{self._columns}, summary, (SELECT source FROM strategies WHERE sha256 = strategy_sha256), "
            "(SELECT document FROM documents WHERE documents.id = evaluations.id), "
            "(SELECT curves FROM curves WHERE curves.id = evaluations.id)"
        )
        for id_ in self._connection.execute(f"SELECT id FROM evaluations WHERE {where}", values).fetchall():
            row = self._connection.execute(f"SELECT {columns} FROM evaluations WHERE id = ?", id_).fetchone()
            yield self._read(row[:-4], *row[-4:])

    def summaries(self, ids: Collection[int] | None) -> Iterator[Summary]:
        """Yields the summaries of the evaluations that rank, oldest first, of all or those with the ids."""
        rows = self._connection.execute("SELECT id, summary, summary_sha256 FROM evaluations ORDER BY id")
        for id_, text, digest in rows:
            if (ids is None or id_ in ids) and (text != "" or digest != _NO_SUMMARY):
                yield self._summary(id_, text, digest)

    def row(
        self,
        evaluation: Evaluation,
        recorded_at: str,
        command: str,
        id_: int | None = None,
        *,
        has_curves: bool = True,
    ) -> Row:
        """Returns all that `add` writes. Takes most of the time, and is done before others have to wait.

        Args:
            evaluation: The evaluation.
            recorded_at: See `Entry`.
            command: See `Entry`.
            id_: The id, or None for a new one.
            has_curves: See `Entry`.

        Raises:
            MachineError: The evaluation is too large.
        """
        document, curves = serialization.dumps_in_parts(evaluation)
        parts = zlib.compress(document), zlib.compress(curves, _CURVES_LEVEL)
        summary = _summary_text(evaluation)
        values: dict[str, Any] = {
            "id": id_,
            "recorded_at": recorded_at,
            "command": command,
            **listed_values(evaluation),
            "params": params_key(evaluation.provenance.params),
            "has_curves": int(has_curves),
            "repetition": fingerprint(evaluation.config, evaluation.provenance),
            "document_sha256": _sha256(parts[0]),
            "curves_sha256": _sha256(parts[1]),
            "summary_sha256": _sha256(summary.encode()),
            "summary": summary,
        }
        values["row_sha256"] = row_digest(values)
        return Row(values, *parts)

    def add(self, row: Row, source: bytes | None) -> int:
        """Adds a row with its strategy's source, and returns its id. The caller's transaction makes it atomic."""
        execute, values = self._connection.execute, row.values
        if source is not None:
            digest = values["strategy_sha256"]
            execute("INSERT OR IGNORE INTO strategies VALUES (?, ?)", (digest, zlib.compress(source)))
        names = f"({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)})"
        added = execute(f"INSERT INTO evaluations {names}", values).lastrowid
        assert added is not None
        execute("INSERT INTO documents VALUES (?, ?)", (added, row.document))
        execute("INSERT INTO curves VALUES (?, ?)", (added, row.curves))
        return added

    def note(self, id_: int, note: str | None, *, is_imported: bool) -> None:
        """Replaces what is noted about an evaluation. The caller's transaction makes it atomic."""
        if note is None and not is_imported:
            self._connection.execute("DELETE FROM notes WHERE id = ?", (id_,))
            return
        values = (id_, note, int(is_imported), _note_digest(note, int(is_imported)))
        self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", values)

    def remove(self, id_: int) -> None:
        """Removes an evaluation, and its source if no other has it. The caller's transaction makes it atomic."""
        for table in ("reused", "notes", "curves", "documents", "evaluations"):
            self._connection.execute(f"DELETE FROM {table} WHERE id = ?", (id_,))
        self._connection.execute("DELETE FROM strategies WHERE sha256 NOT IN (SELECT strategy_sha256 FROM evaluations)")

    def prune_curves(self, id_: int) -> None:
        """Replaces an evaluation's curves by curves without windows. The caller's transaction makes it atomic."""
        execute = self._connection.execute
        row = execute(f"SELECT {self._columns} FROM evaluations WHERE id = ?", (id_,)).fetchone()
        self._entry(row)
        (compressed,) = execute("SELECT curves FROM curves WHERE id = ?", (id_,)).fetchone() or (None,)
        try:
            pruned = zlib.compress(serialization.without_windows(inflate(self._path, id_, "curves", compressed)))
        except ValueError as error:
            raise damaged(self._path, id_, str(error)) from error
        values = dict(zip(_ROW, row, strict=False)) | {"has_curves": 0, "curves_sha256": _sha256(pruned)}
        execute(
            "UPDATE evaluations SET has_curves = 0, curves_sha256 = ?, row_sha256 = ? WHERE id = ?",
            (values["curves_sha256"], row_digest(values), id_),
        )
        execute("UPDATE curves SET curves = ? WHERE id = ?", (pruned, id_))

    def _entry(self, row: Sequence[Any]) -> Entry:
        """Checks the values of a row: SQLite accepts any type in any column."""
        values = dict(zip((*_ROW, *_NOTED), row, strict=True))
        if values["row_sha256"] != row_digest(values):
            raise damaged(self._path, row[0], "expected the recorded row, by its digest, got another")
        note, is_imported, digest = (values[name] for name in _NOTED)
        if digest != (None if is_imported is None else _note_digest(note, is_imported)):
            raise damaged(self._path, row[0], "expected the recorded note, by its digest, got another")
        try:
            listed = {"id": values["id"]} | {name: values[name] for name in _LISTED}
            listed["params"] = msgspec.json.decode(values["params"].encode())  # bytes have no such method
            listed["has_curves"] = {0: False, 1: True}.get(values["has_curves"])
            listed |= {"note": note, "is_imported": {None: False, 0: False, 1: True}.get(is_imported)}
            return msgspec.convert(listed, Entry)
        except (ValueError, TypeError, AttributeError) as error:
            raise damaged(self._path, row[0], str(error)) from error

    def _summary(self, id_: int, text: object, digest: object) -> Summary:
        if not isinstance(text, str) or digest != _sha256(text.encode()):
            raise damaged(self._path, id_, "expected the recorded summary, by its digest, got another")
        try:
            summary = _SUMMARY.decode(text)
            check_summary(summary)
        except ValueError as error:
            raise damaged(self._path, id_, str(error)) from error
        return summary

    def _read(self, row: Sequence[Any], summary: object, source: object, document: object, curves: object) -> Recorded:
        entry = self._entry(row)
        values = dict(zip(_ROW, row, strict=False))
        stored = {"document": document, "curves": curves}
        for name, data in stored.items():
            if not isinstance(data, bytes) or values[f"{name}_sha256"] != _sha256(data):
                raise damaged(self._path, entry.id, f"expected the recorded {name}, by its digest, got other bytes")
        parts = [inflate(self._path, entry.id, name, data) for name, data in stored.items()]
        json_ = serialization.join(*parts)
        del parts  # the largest take gigabytes
        is_missing = source is None and entry.is_imported
        code = None if is_missing else inflate(self._path, entry.id, "source", source)
        read = recorded(self._path, entry, json_, code)
        expected = _summary_text(read.evaluation)
        if summary != expected and not (
            summary
            and expected
            and _is_same(self._summary(entry.id, summary, values["summary_sha256"]), _SUMMARY.decode(expected))
        ):
            raise damaged(self._path, entry.id, "expected the summary of its document, got another")
        return read


def row_digest(values: Mapping[str, object]) -> bytes:
    """Digests the values of a row, except for its id: that belongs to the document, whose digest is in the row."""
    return _sha256(msgspec.json.encode([values[name] for name in _DIGESTED]))


def _note_digest(note: object, is_imported: object) -> bytes:
    return _sha256(msgspec.json.encode([note, is_imported]))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


_SUMMARY = msgspec.json.Decoder(Summary)
_NO_SUMMARY = _sha256(b"")


def _summary_text(evaluation: Evaluation) -> str:
    """Returns the summary as JSON, or nothing for an evaluation that ranks nowhere."""
    summary = summarize(evaluation)
    return "" if summary.protocol is None else msgspec.json.encode(summary).decode()


def _is_same(recorded: Summary, expected: Summary) -> bool:
    """Compares summaries, of which an earlier version may have recorded the first.

    The sentence about a missing score may be another then, and undecided audits may not be known.
    """
    undecided = None if recorded.undecided_audits is None else expected.undecided_audits
    expected = replace(expected, undecided_audits=undecided)
    if recorded.why_no_score and expected.why_no_score:
        expected = replace(expected, why_no_score=recorded.why_no_score)
    return recorded == expected
