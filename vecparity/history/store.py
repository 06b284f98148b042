"""Every evaluation that was ever made, in one SQLite file: what was evaluated, how, and all that came of it."""

import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
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
        id: Names the evaluation in this file. Never given twice.
        recorded_at: UTC, as ISO 8601.
        command: The same for all evaluations that one command made.
        strategy: Its name.
        strategy_sha256: Digest of its source.
        seed: The top-level seed.
        label: N and K.
        protocol: As provenance has it, or ``custom`` where a setting was overridden.
        engine: What trained.
        test_accuracy: None where there is no score.
        mean_steps: None likewise.
        num_runs: All runs, diverged ones too.
        num_diverged: Those.
        failed_audits: Their names, separated by spaces.
        seal: Digest of the key that it is sealed under, or None.
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
        if recorded_at.tzinfo is None or not 1970 <= recorded_at.year < 9999:  # or it is no local time
            raise ValueError(f"recorded at {self.recorded_at}")


@dataclass(frozen=True)
class Recorded:
    """An evaluation as it was recorded, with the strategy's source, byte for byte."""

    entry: Entry
    evaluation: Evaluation
    source: bytes


_NAMES = [field.name for field in fields(Entry)]
_COLUMNS = ", ".join(_NAMES)


def default_path() -> Path:
    """Where the history is kept if nothing else is said: in the platform's directory for a user's data."""
    return platformdirs.user_data_path("vecparity", appauthor=False) / "history.sqlite3"


class History:
    """The history in one file. Several processes may use it at once; what one adds is there whole or not at all.

    Args:
        path: The file; by default `default_path`.
        create: Make it if it is not there, and try to write to it; else it is only read.

    Attributes:
        path: The file.

    Raises:
        UsageError: No path; or it is not there, not a history, or a newer version's.
        MachineError: It is damaged, or cannot be read or written. Nothing of it is changed.
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
        """Sees whether anything can be added, before that is made.

        Raises:
            UsageError: It was opened to be read only, or is closed.
        """
        if self._why_nothing_is_added:
            got = f"{self.path} {self._why_nothing_is_added}"
            raise UsageError(f"evaluations are recorded in an open History(path, create=True), got {got}")

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
        """All that is recorded, oldest first.

        Raises:
            MachineError: An entry is damaged.
        """
        with telling(self.path):
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM evaluations ORDER BY id")
            return [self._entry(row) for row in rows]

    def require_entries(self) -> list[Entry]:
        """The same as `entries`, for whoever has no use for none.

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
            UsageError: There is none of this id, or it is larger than any that is read.
            MachineError: It is damaged.
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
            UsageError: There is none of one of the ids.
        """
        return self._select("TRUE ORDER BY id") if ids is None else [self.get(id_) for id_ in ids]

    def same(self, digest: str) -> list[Recorded]:
        """Returns the evaluations whose `fingerprint` this is, newest first.

        Raises:
            MachineError: One is damaged.
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
        """Checks what a row holds: SQLite keeps anything in any column."""
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
    """The columns of an evaluation's row by which it is found and listed without being read."""
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
    """The protocol, if the settings are no other than it has for this N and K."""
    config, name = evaluation.config, evaluation.provenance.protocol
    if name not in NAMED_PROTOCOLS:
        return name
    protocol, smoke = NAMED_PROTOCOLS[name]
    n_features, secret_size = config.n_features, config.secret_size
    its_own = task_config(protocol=protocol, smoke=smoke, n_features=n_features, secret_size=secret_size)
    return name if config == its_own else "custom"
