"""The history's store: every recorded evaluation in one SQLite file, with its strategy, settings and results."""

import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import msgspec
import platformdirs

from vecparity.errors import MachineError, UsageError, brief, printable
from vecparity.evaluation import serialization
from vecparity.evaluation.coherence import require_line
from vecparity.evaluation.result import Evaluation
from vecparity.files import to_path
from vecparity.history.database import connect, telling, writing
from vecparity.history.fingerprint import fingerprint
from vecparity.strategy.source import Strategy
from vecparity.task.config import NAMED_PROTOCOLS, task_config


@dataclass(frozen=True)
class Entry:
    """One line of the history.

    Attributes:
        id: The evaluation's id in this file, never reused.
        recorded_at: UTC, as ISO 8601.
        command: The same for all evaluations of one command.
        strategy: The strategy's name.
        strategy_sha256: Digest of the strategy's source.
        seed: The top-level seed.
        label: N and K.
        protocol: The protocol of the provenance, or ``custom`` if a setting was overridden.
        engine: The engine that trained.
        test_accuracy: Mean test accuracy, or None if there is no score.
        mean_steps: Mean steps, or None if there is no score.
        num_runs: Number of runs, including diverged runs.
        num_diverged: Number of diverged runs.
        failed_audits: Names of failed audits, separated by spaces.
        seal: Digest of the key of a sealed evaluation, or None.
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
    num_diverged: int
    failed_audits: str
    seal: str | None
    wall_seconds: float

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, str):
                require_line(value)
            elif isinstance(value, float) and not 0 <= value < math.inf:
                raise ValueError(f"{value}, where a figure is")
        if not 0 <= self.num_diverged <= self.num_runs:
            raise ValueError(f"{self.num_diverged} diverged of {self.num_runs} runs")
        recorded_at = datetime.fromisoformat(self.recorded_at)
        if recorded_at.tzinfo is None or not 1970 <= recorded_at.year < 9999:  # outside, conversion to local time fails
            raise ValueError(f"recorded at {self.recorded_at}")


@dataclass(frozen=True)
class Recorded:
    """A recorded evaluation, with the strategy's source, byte for byte."""

    entry: Entry
    evaluation: Evaluation
    source: bytes


_NAMES = [field.name for field in fields(Entry)]
_COLUMNS = ", ".join(_NAMES)


def default_path() -> Path:
    """Returns the default path of the history, in the platform's directory for user data."""
    return platformdirs.user_data_path("vecparity", appauthor=False) / "history.sqlite3"


class History:
    """The history in one file. Several processes may use it at once; every addition is atomic.

    Args:
        path: The file; by default `default_path`.
        create: Whether to create the file if it does not exist, and check that it can be written; otherwise the history
            is opened read-only.

    Attributes:
        path: The file.

    Raises:
        UsageError: The path is invalid, or the file does not exist, is not a history, or belongs to a newer version.
        MachineError: The file is damaged, or cannot be read or written. It is left unchanged.
    """

    def __init__(self, path: str | Path | None = None, *, create: bool = False) -> None:
        self.path = default_path() if path is None else to_path(path, "the history's path")
        connection = connect(self.path, create=create)
        if connection is None:
            raise UsageError(f"no evaluations are recorded yet: vecparity eval records them in {self.path}")
        self._connection = connection
        self._why_nothing_is_added = None if create else "to read only"

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()
        self._why_nothing_is_added = "closed"

    def require_additions(self) -> None:
        """Checks, before an evaluation is made, that it can be added.

        Raises:
            UsageError: The history was opened read-only, or is closed.
        """
        if self._why_nothing_is_added:
            got = f"{self.path} {self._why_nothing_is_added}"
            raise UsageError(f"evaluations are recorded in an open History(path, create=True), got {got}")

    def add(self, evaluation: Evaluation, strategy: Strategy, command: str) -> int:
        """Records an evaluation.

        Args:
            evaluation: The evaluation, with or without a score.
            strategy: The strategy that was evaluated.
            command: The same for all evaluations of one command.

        Returns:
            The evaluation's id.

        Raises:
            MachineError: The evaluation could not be recorded.
        """
        provenance = evaluation.provenance
        assert provenance.strategy_sha256 == strategy.sha256, "another strategy's evaluation"
        row = {
            "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            **_of(evaluation),
            "repetition": fingerprint(evaluation.config, provenance),
            "document": zlib.compress(serialization.dumps(evaluation)),
        }
        insert = f"INSERT INTO evaluations ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"
        with telling(self.path), writing(self._connection):
            self._connection.execute(
                "INSERT OR IGNORE INTO strategies VALUES (?, ?)", (strategy.sha256, strategy.source)
            )
            made = self._connection.execute(insert, row)
        assert made.lastrowid is not None
        return made.lastrowid

    def entries(self) -> list[Entry]:
        """Returns all entries, oldest first.

        Raises:
            MachineError: An entry is damaged.
        """
        with telling(self.path):
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM evaluations ORDER BY id")
            return [self._entry(row) for row in rows]

    def require_entries(self) -> list[Entry]:
        """Returns all entries, oldest first, and fails if there are none.

        Raises:
            UsageError: Nothing is recorded yet.
        """
        entries = self.entries()
        if not entries:
            raise UsageError(f"no evaluations are recorded yet in {self.path}: vecparity eval records them")
        return entries

    def get(self, id_: int) -> Recorded:
        """Returns one evaluation.

        Raises:
            UsageError: No evaluation has this id, or the evaluation is too large to read.
            MachineError: The evaluation is damaged.
        """
        if not isinstance(id_, int):
            raise UsageError(f"an evaluation's id must be an integer, got {id_!r}")
        found = self._select("id = ?", id_) if abs(id_) < 2**63 else []
        if not found:
            raise UsageError(f"{self.path} has no evaluation {id_} (vecparity history lists them)")
        return found[0]

    def evaluations(self, ids: Sequence[int] | None = None) -> list[Recorded]:
        """Returns several evaluations, in the order of ``ids``; or all, oldest first.

        Raises:
            UsageError: An id has no evaluation.
        """
        return self._select("TRUE ORDER BY id") if ids is None else [self.get(id_) for id_ in ids]

    def same(self, digest: str) -> list[Recorded]:
        """Returns the evaluations with this `fingerprint`, newest first.

        Raises:
            MachineError: An evaluation is damaged.
        """
        found = self._select("repetition = ? ORDER BY id DESC", digest)
        for recorded in found:
            if fingerprint(recorded.evaluation.config, recorded.evaluation.provenance) != digest:
                raise self._damaged(recorded.entry.id, "the repetition of another evaluation")
        return found

    def _select(self, where: str, *values: object) -> list[Recorded]:
        columns = f"{_COLUMNS}, document, (SELECT source FROM strategies WHERE sha256 = strategy_sha256)"
        with telling(self.path):
            rows = self._connection.execute(f"SELECT {columns} FROM evaluations WHERE {where}", values)
            return [self._read(self._entry(row[:-2]), row[-2], row[-1]) for row in rows]

    def _entry(self, row: Sequence[object]) -> Entry:
        """Checks the values of a row: SQLite accepts any type in any column."""
        try:
            return msgspec.convert(dict(zip(_NAMES, row, strict=True)), Entry)
        except ValueError as error:
            raise self._damaged(row[0], str(error)) from error

    def _read(self, entry: Entry, compressed: object, source: object) -> Recorded:
        if not isinstance(compressed, bytes) or not isinstance(source, bytes):
            raise self._damaged(entry.id, f"{brief(compressed)[:40]} and {brief(source)[:40]} as its bytes")
        if hashlib.sha256(source).hexdigest() != entry.strategy_sha256:
            raise self._damaged(entry.id, f"a source that is not {entry.strategy_sha256}")
        reading = zlib.decompressobj()
        try:
            data = reading.decompress(compressed, serialization.MOST_BYTES + 1)
        except zlib.error as error:
            raise self._damaged(entry.id, str(error)) from error
        if len(data) <= serialization.MOST_BYTES and not reading.eof:
            raise self._damaged(entry.id, "a JSON that is cut short")
        evaluation = serialization.loads(data, f"{self.path}, evaluation {entry.id}")
        for name, expected in _of(evaluation).items():
            if getattr(entry, name) != expected:
                got = f"{brief(getattr(entry, name))}, of an evaluation whose {name} is {brief(expected)}"
                raise self._damaged(entry.id, got)
        return Recorded(entry, evaluation, source)

    def _damaged(self, id_: object, got: str) -> MachineError:
        return MachineError(f"{self.path}, evaluation {brief(id_)}: is damaged: {printable(got)}")


def _of(evaluation: Evaluation) -> dict[str, object]:
    """Returns the columns of an evaluation's row that find and list it without reading its document."""
    provenance, metrics = evaluation.provenance, None if evaluation.why_no_score else evaluation.metrics
    return {
        "strategy": provenance.strategy,
        "strategy_sha256": provenance.strategy_sha256,
        "seed": provenance.seed,
        "label": evaluation.config.label,
        "protocol": _protocol(evaluation),
        "engine": provenance.engine,
        "test_accuracy": metrics and metrics.test_accuracy,
        "mean_steps": metrics and metrics.mean_steps,
        "num_runs": len(evaluation.results) + len(evaluation.diverged),
        "num_diverged": len(evaluation.diverged),
        "failed_audits": " ".join(evaluation.failed_audits),
        "seal": provenance.seal,
        "wall_seconds": provenance.wall_seconds,
    }


def _protocol(evaluation: Evaluation) -> str:
    """Returns the protocol's name if the settings are the protocol's for this N and K, else ``custom``."""
    config, name = evaluation.config, evaluation.provenance.protocol
    if name not in NAMED_PROTOCOLS:
        return name
    protocol, smoke = NAMED_PROTOCOLS[name]
    # Compared as plain values: the protocol may have more secrets than there are for this N and K.
    of_both = {"n_features": config.n_features, "secret_size": config.secret_size}
    return name if asdict(task_config(protocol=protocol, smoke=smoke)) | of_both == asdict(config) else "custom"
