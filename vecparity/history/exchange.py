"""Exchange of evaluations by files: exports of a history, and the JSON files of single evaluations.

An export has a JSON object a line, for one evaluation each:

    history         The format, 1.
    recorded_at     The time of its recording, as ISO 8601 with a time zone.
    command         The same for all evaluations of one command.
    note            A person's words about it, or null.
    has_curves      False if its curves were pruned.
    source          The strategy's source in base64, or null if the history has none.
    evaluation      The evaluation, as vecparity eval writes it to an output directory.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct

from vecparity.errors import MachineError, UsageError, printable
from vecparity.evaluation import serialization
from vecparity.history.changes import Imported, entries_of
from vecparity.history.records import Entry, Recorded, listed_values, now
from vecparity.history.store import History
from vecparity.strategy.source import bundled_digests, load

_FORMAT = 1
# Most bytes of a line: those of an evaluation, and more than any source has.
_MOST_BYTES = serialization.MOST_BYTES + (64 << 20)


class _Format(Struct):
    history: Raw


class _Line(Struct):
    history: int
    recorded_at: str
    command: str
    note: str | None
    has_curves: bool
    source: bytes | None
    evaluation: Raw


def export(history: History, ids: Sequence[int] | None, path: Path) -> int:
    """Writes evaluations to a new file that `read` reads back bit for bit.

    Args:
        history: The history.
        ids: The evaluations; None for all.
        path: The file, which must not exist.

    Returns:
        The number of evaluations.

    Raises:
        UsageError: The file exists, or an id has no evaluation.
        MachineError: The file cannot be written, or an evaluation is damaged.
    """
    entries = history.entries() if ids is None else entries_of(history, list(dict.fromkeys(ids)))
    try:
        with path.open("xb") as file:
            try:
                for entry in entries:
                    file.write(_line(history.get(entry.id)))
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise UsageError(f"expected a file that does not exist yet to export to, got {path}") from error
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror}") from error
    return len(entries)


def _line(recorded: Recorded) -> bytes:
    entry = recorded.entry
    besides = {
        "history": _FORMAT,
        "recorded_at": entry.recorded_at,
        "command": entry.command,
        "note": entry.note,
        "has_curves": entry.has_curves,
        "source": None if recorded.source is None else base64.b64encode(recorded.source).decode(),
    }
    whole = (msgspec.json.encode(besides)[:-1], b',"evaluation":', serialization.dumps(recorded.evaluation), b"}\n")
    return b"".join(whole)


def read(paths: Iterable[Path]) -> Iterator[Imported]:
    """Reads exports and JSON files of single evaluations, each evaluation when it is asked for.

    Nothing in the files is trusted: every value is checked as those of a history are. Digests do not tell who made
    them.

    Raises:
        UsageError: A file cannot be read, or its content is neither; the message names the file.
    """
    command = uuid4().hex  # of evaluations whose files tell of no command
    for path in paths:
        if not _is_export(path):
            evaluation = serialization.load(path)
            has_curves = any(run.curve.step for run in evaluation.curves)
            source = _bundled_source(evaluation.provenance.strategy_sha256)
            yield Imported(path, evaluation, now(), command, source, None, has_curves)
            continue
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MOST_BYTES), b""), 1):
                yield _imported(line, path, f"{path}, line {number}")


def _is_export(path: Path) -> bool:
    """Returns True if the first line is one of an export's."""
    try:
        if not path.is_file():  # opening a pipe would block; `serialization.load` tells what it is
            return False
        with path.open("rb") as file:
            msgspec.json.decode(file.readline(_MOST_BYTES), type=_Format)
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _imported(line: bytes, path: Path, where: str) -> Imported:
    try:
        found = msgspec.json.decode(line, type=_Line)
        if found.history != _FORMAT:
            raise ValueError(f"expected an export of format {_FORMAT}, got {found.history}")
        evaluation = serialization.loads(bytes(found.evaluation), where)
        expected = evaluation.provenance.strategy_sha256
        if found.source is not None and hashlib.sha256(found.source).hexdigest() != expected:
            raise ValueError(f"expected a source with SHA-256 {expected}, got another")
        values = {**listed_values(evaluation), "recorded_at": found.recorded_at, "command": found.command}
        values |= {"has_curves": found.has_curves, "note": found.note}
        msgspec.convert({"id": 0, "params": evaluation.provenance.params, **values}, Entry)
    except UsageError:  # of the evaluation, which says where
        raise
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: {printable(str(error))}") from error
    return Imported(path, evaluation, found.recorded_at, found.command, found.source, found.note, found.has_curves)


def _bundled_source(sha256: str) -> bytes | None:
    return next((load(name).source for name, digest in bundled_digests().items() if digest == sha256), None)
