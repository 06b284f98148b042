"""Changes of a history by a person: notes, removals, and evaluations from files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vecparity.errors import UsageError, brief
from vecparity.evaluation.result import Evaluation
from vecparity.history.fingerprint import fingerprint
from vecparity.history.records import Entry, require_note
from vecparity.history.store import History


@dataclass(frozen=True)
class Imported:
    """An evaluation from a file, with what is recorded beside it, see `Entry` and `Recorded`."""

    file: Path
    evaluation: Evaluation
    recorded_at: str
    command: str
    source: bytes | None
    note: str | None
    has_curves: bool


def entries_of(history: History, ids: Sequence[int]) -> list[Entry]:
    """Returns the entries with some ids, in their order.

    Raises:
        UsageError: An id has no evaluation.
        MachineError: An entry is damaged.
    """
    entries = {entry.id: entry for entry in history.each_entry() if entry.id in ids}
    if unknown := [id_ for id_ in ids if id_ not in entries]:
        raise UsageError(
            f"{history.path} has no evaluation {', '.join(map(brief, unknown))} (vecparity history lists them)"
        )
    return [entries[id_] for id_ in ids]


def note(history: History, ids: Sequence[int], words: str | None) -> None:
    """Replaces the notes of evaluations, all or none; None removes them.

    Raises:
        UsageError: An id has no evaluation, or see `records.require_note` and `History.changing`.
        MachineError: An entry is damaged, or the history could not be written.
    """
    require_note(words)
    with history.changing() as tables:
        for entry in entries_of(history, ids):
            tables.note(entry.id, words, is_imported=entry.is_imported)


def remove(history: History, ids: Sequence[int]) -> None:
    """Removes evaluations for good, all or none.

    Raises:
        UsageError: An id has no evaluation, or see `History.changing`.
        MachineError: An entry is damaged, or the history could not be written.
    """
    with history.changing() as tables:
        for entry in entries_of(history, ids):
            tables.remove(entry.id)
    history.return_room()


def add_imported(history: History, imported: Iterable[Imported]) -> list[int | None]:
    """Records evaluations from files, all or, after an error or if this process is killed, none.

    Returns:
        The id of each; None for one that is recorded already, exactly as it is.

    Raises:
        UsageError: See `History.changing`, or a file cannot be read.
        MachineError: The evaluations could not be recorded.
    """
    ids: list[int | None] = []
    with history.changing() as tables:
        for found in imported:
            evaluation = found.evaluation
            digest = fingerprint(evaluation.config, evaluation.provenance)
            if any(recorded.evaluation == evaluation for recorded in history.same(digest)):
                ids.append(None)
                continue
            row = tables.row(evaluation, found.recorded_at, found.command, has_curves=found.has_curves)
            id_ = tables.add(row, found.source)
            tables.note(id_, found.note, is_imported=True)
            ids.append(id_)
    return ids
