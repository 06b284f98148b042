"""Records of the history: an entry of its list, and an evaluation with its source."""

import hashlib
import math
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vecparity.errors import MachineError, UsageError, brief, printable
from vecparity.evaluation import serialization
from vecparity.evaluation.coherence import require_line
from vecparity.evaluation.params import Params, ParamValue, check_params, title
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import NAMED_PROTOCOLS, task_config

# Rows that are read at once.
_PAGE = 1000
# Most characters of a person's note.
_MOST_NOTED = 200


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
        params: Values of the strategy's keyword parameters.
        has_curves: False if the curves were pruned.
        note: A person's words about the evaluation, see `check_note`.
        is_imported: True if the evaluation came from a file, whoever made it.
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
    params: Params = field(default_factory=dict)
    has_curves: bool = True
    note: str | None = None
    is_imported: bool = False

    def __post_init__(self) -> None:
        for value in (*vars(self).values(), *self.params, *self.params.values()):
            if isinstance(value, str):
                require_line(value)
        for figure in (self.test_accuracy, self.mean_steps, self.wall_seconds):
            if figure is not None and not 0 <= figure < math.inf:
                raise ValueError(f"expected finite figures of at least 0, got {figure}")
        check_params(self.params)
        if self.note is not None:
            check_note(self.note)
        if not 0 <= self.num_diverged <= self.num_runs:
            raise ValueError(f"expected 0 to {self.num_runs} diverged runs, got {self.num_diverged}")
        recorded_at = datetime.fromisoformat(self.recorded_at)
        if recorded_at.tzinfo is None or not 1970 <= recorded_at.year < 9999:  # outside, conversion to local time fails
            raise ValueError(f"expected a time with a time zone, from 1970 on, as recorded_at, got {self.recorded_at}")

    @property
    def title(self) -> str:
        """The strategy's name with its parameters."""
        return title(self.strategy, self.params)


@dataclass(frozen=True)
class Recorded:
    """A recorded evaluation.

    Attributes:
        entry: Its line of the history.
        evaluation: The evaluation.
        source: The strategy's source, byte for byte, or None if the evaluation was imported without it.
    """

    entry: Entry
    evaluation: Evaluation
    source: bytes | None


def check_note(note: str) -> None:
    """Checks a person's note.

    Raises:
        ValueError: It is empty, too long, or not one line that can be printed.
    """
    if not note.isprintable() or not 0 < len(note.strip()) <= len(note) <= _MOST_NOTED:
        raise ValueError(f"expected a note of one printable line of 1 to {_MOST_NOTED} characters, got {brief(note)}")


def require_note(note: str | None) -> None:
    """Checks a note before anything is recorded.

    Raises:
        UsageError: See `check_note`.
    """
    try:
        if note is not None:
            check_note(note)
    except ValueError as error:
        raise UsageError(str(error)) from error


def now() -> str:
    """Returns the time for `Entry.recorded_at`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def listed_values(evaluation: Evaluation) -> dict[str, ParamValue | None]:
    """Returns the evaluation's values in an `Entry`, except for its parameters and curves."""
    provenance = evaluation.provenance
    metrics = None if evaluation.why_no_score else evaluation.metrics
    return {
        "strategy": provenance.strategy,
        "strategy_sha256": provenance.strategy_sha256,
        "seed": provenance.seed,
        "label": evaluation.config.label,
        "protocol": named_protocol(evaluation),
        "engine": provenance.engine,
        "test_accuracy": metrics.test_accuracy if metrics else None,
        "mean_steps": metrics.mean_steps if metrics else None,
        "num_runs": len(evaluation.results) + len(evaluation.diverged),
        "num_diverged": len(evaluation.diverged),
        "failed_audits": " ".join(evaluation.failed_audits),
        "seal": provenance.seal,
        "wall_seconds": provenance.wall_seconds + 0.0,  # SQLite makes 0.0 of -0.0
    }


def named_protocol(evaluation: Evaluation) -> str:
    """Returns the protocol's name if the settings are the protocol's for this N and K, else ``custom``."""
    config, name = evaluation.config, evaluation.provenance.protocol
    if name not in NAMED_PROTOCOLS:
        return name
    protocol, smoke = NAMED_PROTOCOLS[name]
    # Compared as plain values: the protocol may have more secrets than there are for this N and K.
    of_both = {"n_features": config.n_features, "secret_size": config.secret_size}
    return name if asdict(task_config(protocol=protocol, smoke=smoke)) | of_both == asdict(config) else "custom"


def recorded(path: Path, entry: Entry, json_: bytes, source: object) -> Recorded:
    """Reads a recorded evaluation, and checks that the entry and the source are its own.

    Raises:
        UsageError: The JSON cannot be read, see `serialization.loads`.
        MachineError: The entry or the source is another's.
    """
    is_missing = source is None and entry.is_imported
    if not is_missing and (
        not isinstance(source, bytes) or hashlib.sha256(source).hexdigest() != entry.strategy_sha256
    ):
        raise damaged(path, entry.id, f"expected a source with SHA-256 {entry.strategy_sha256}, got another")
    evaluation = serialization.loads(json_, f"{path}, evaluation {entry.id}")
    for name, expected in (listed_values(evaluation) | {"params": evaluation.provenance.params}).items():
        if getattr(entry, name) != expected:
            problem = f"expected {name} {brief(expected)}, as in its document, got {brief(getattr(entry, name))}"
            raise damaged(path, entry.id, problem)
    assert source is None or isinstance(source, bytes)
    return Recorded(entry, evaluation, source)


def pages(
    connection: sqlite3.Connection, columns: str, table: str, *, newest_first: bool
) -> Iterator[list[tuple[Any, ...]]]:
    """Yields the rows of a table, page by page: an unfinished query would keep others from writing."""
    order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
    rows = connection.execute(f"SELECT {columns} FROM {table} ORDER BY id {order} LIMIT {_PAGE}").fetchall()
    while rows:
        yield rows
        page = f"SELECT {columns} FROM {table} WHERE id {beyond} ? ORDER BY id {order} LIMIT {_PAGE}"
        rows = connection.execute(page, rows[-1][:1]).fetchall()


def inflate(path: Path, id_: int, name: str, compressed: object) -> bytes:
    """Decompresses a value of at most one byte more than the largest JSON.

    Raises:
        MachineError: The value is no compressed bytes, or is cut short.
    """
    if not isinstance(compressed, bytes):
        raise damaged(path, id_, f"expected bytes as {name}, got {brief(compressed)[:40]}")
    reading = zlib.decompressobj()
    try:
        data = reading.decompress(compressed, serialization.MOST_BYTES + 1)
    except zlib.error as error:
        raise damaged(path, id_, str(error)) from error
    if len(data) <= serialization.MOST_BYTES and not reading.eof:
        raise damaged(path, id_, f"expected the whole {name}, got bytes that are cut short")
    return data


def damaged(path: Path, id_: object, problem: str) -> MachineError:
    """Returns the error about a damaged evaluation."""
    return MachineError(f"{path}: evaluation {brief(id_)} is damaged: {printable(problem)}")
