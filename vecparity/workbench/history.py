"""Every evaluation that was ever made, in one SQLite file: what was evaluated, how, and all that came of it."""

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import platformdirs

from vecparity import document
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation import Evaluation
from vecparity.repetition import repetition
from vecparity.strategy import Strategy

# Stand in the file's header: whose it is, and which tables it has and which `document.FORMAT` is in them.
_APPLICATION = int.from_bytes(b"vpar", "big")
VERSION = 1
# Others may be writing; each takes milliseconds.
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
    wall_seconds REAL NOT NULL,
    repetition TEXT NOT NULL,
    document BLOB NOT NULL
);
CREATE INDEX evaluations_repetition ON evaluations (repetition);
"""


@dataclass(frozen=True)
class Entry:
    """One line of the history.

    Attributes:
        id: Names the evaluation in this file. Never given twice.
        recorded_at: UTC, as ISO 8601.
        command: The same for all evaluations that one command made.
        strategy: Its name.
        strategy_sha256: Digest of its source.
        seed: The top-level seed.
        label: N and K.
        protocol: As provenance has it.
        engine: What trained.
        test_accuracy: None where there is no score.
        mean_steps: None likewise.
        num_runs: All runs, diverged ones too.
        wall_seconds: See `Provenance`.
    """

    id: int
    recorded_at: str
    command: str
    strategy: str
    strategy_sha256: str
    seed: int
    label: str
    protocol: str
    engine: str
    test_accuracy: float | None
    mean_steps: float | None
    num_runs: int
    wall_seconds: float


@dataclass(frozen=True)
class Recorded:
    """An evaluation as it was recorded, with the strategy's source, byte for byte."""

    entry: Entry
    evaluation: Evaluation
    source: bytes


_COLUMNS = ", ".join(field.name for field in fields(Entry))


def default_path() -> Path:
    """Where the history is kept if nothing else is said: in the platform's directory for a user's data."""
    return platformdirs.user_data_path("vecparity", appauthor=False) / "history.sqlite3"


class History:
    """The history in one file. Several processes may use it at once; what one adds is there whole or not at all.

    Args:
        path: The file; by default `default_path`.
        create: Make it if it is not there, and try to write to it; else it is only read.

    Raises:
        UsageError: It is not there, not a history, or a newer version's.
        MachineError: It is damaged, or cannot be read or written. Nothing of it is changed.
    """

    def __init__(self, path: Path | None = None, *, create: bool = False) -> None:
        self.path = default_path() if path is None else path
        if not create and not self.path.exists():
            raise UsageError(f"no evaluations are recorded yet: vecparity eval records them in {self.path}")
        with self._telling():
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
            try:
                self._check()
                if create:
                    self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def add(self, evaluation: Evaluation, strategy: Strategy, command: str) -> int:
        """Records an evaluation.

        Args:
            evaluation: With or without a score.
            strategy: What was evaluated.
            command: Groups what belongs together.

        Returns:
            Its id.

        Raises:
            MachineError: It could not be recorded.
        """
        provenance = evaluation.provenance
        assert provenance.strategy_sha256 == strategy.sha256, "another strategy's evaluation"
        metrics = None if evaluation.why_no_score else evaluation.metrics
        row = {
            "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "strategy": provenance.strategy,
            "strategy_sha256": provenance.strategy_sha256,
            "seed": provenance.seed,
            "label": evaluation.config.label,
            "protocol": provenance.protocol,
            "engine": provenance.engine,
            "test_accuracy": metrics and metrics.test_accuracy,
            "mean_steps": metrics and metrics.mean_steps,
            "num_runs": len(evaluation.results) + len(evaluation.diverged),
            "wall_seconds": provenance.wall_seconds,
            "repetition": repetition(evaluation.config, provenance),
            "document": zlib.compress(document.dumps(evaluation)),
        }
        insert = f"INSERT INTO evaluations ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"
        with self._telling(), self._writing():
            self._connection.execute(
                "INSERT OR IGNORE INTO strategies VALUES (?, ?)", (strategy.sha256, strategy.source)
            )
            made = self._connection.execute(insert, row)
        assert made.lastrowid is not None
        return made.lastrowid

    def entries(self) -> list[Entry]:
        """All that is recorded, oldest first."""
        with self._telling():
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM evaluations ORDER BY id").fetchall()
        return [Entry(*row) for row in rows]

    def get(self, id_: int) -> Recorded:
        """Returns one evaluation.

        Raises:
            UsageError: There is none of this id.
        """
        found = self._select("id = ?", id_) if id_ < 2**63 else []
        if not found:
            raise UsageError(f"{self.path} has no evaluation {id_} (vecparity history lists them)")
        return found[0]

    def evaluations(self, ids: Sequence[int] | None = None) -> list[Recorded]:
        """Returns several evaluations, in the order of ``ids``; or all, oldest first.

        Raises:
            UsageError: There is none of one of the ids.
        """
        return self._select("TRUE ORDER BY id") if ids is None else [self.get(id_) for id_ in ids]

    def same(self, digest: str) -> list[Recorded]:
        """Returns the evaluations whose `repetition` this is, newest first."""
        return self._select("repetition = ? ORDER BY id DESC", digest)

    def _select(self, where: str, *values: object) -> list[Recorded]:
        columns = f"{_COLUMNS}, document, (SELECT source FROM strategies WHERE sha256 = strategy_sha256)"
        with self._telling():
            rows = self._connection.execute(f"SELECT {columns} FROM evaluations WHERE {where}", values).fetchall()
        return [self._read(Entry(*row[:-2]), row[-2], row[-1]) for row in rows]

    def _read(self, entry: Entry, compressed: bytes, source: bytes) -> Recorded:
        where = f"{self.path}, evaluation {entry.id}"
        try:
            return Recorded(entry, document.loads(zlib.decompress(compressed), where), source)
        except zlib.error as error:
            raise MachineError(f"{where}: is damaged: {error}") from error

    def _check(self) -> None:
        """Refuses what is no history, or none that this version can read."""
        execute = self._connection.execute
        is_empty = not execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application, version = (execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if application != _APPLICATION and not (is_empty and not application):
            raise UsageError(f"{self.path} must be a history of vecparity's, got another program's database")
        if version > VERSION:
            raise UsageError(
                f"{self.path} is the history of a newer vecparity: expected version {VERSION}, got {version} "
                "(upgrade, or give another --history FILE)"
            )
        (problem,) = execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise sqlite3.DatabaseError(" ".join(problem.split()))

    def _prepare(self) -> None:
        """Makes the tables if they are not there, and sees whether the file can be written."""
        with self._writing():
            if not self._connection.execute("PRAGMA application_id").fetchone()[0]:
                for statement in _TABLES.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {VERSION}")
            self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it or nothing, whatever becomes of this process."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turns what goes wrong with the file into one line."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise MachineError(f"the history {self.path} cannot be read or written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise MachineError(
                f"the history {self.path} is damaged, and left as it is: {error} (give another --history FILE)"
            ) from error
        except OSError as error:
            raise MachineError(f"the history {self.path} cannot be made: {error.strerror}") from error
