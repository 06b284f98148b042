"""The history's store: every recorded evaluation in one SQLite file, with its strategy, settings and results."""

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import platformdirs

from vecparity.errors import UsageError, visible
from vecparity.evaluation.result import Evaluation
from vecparity.evaluation.summary import Summary
from vecparity.files import to_path
from vecparity.history.database import VERSION, check_pages, connect, telling, writing
from vecparity.history.fingerprint import fingerprint
from vecparity.history.migration import migrate
from vecparity.history.records import Entry, Recorded, damaged, now, require_note
from vecparity.history.version_1 import Version1
from vecparity.history.version_2 import Version2
from vecparity.history.version_3 import newest_command, note_reuse
from vecparity.strategy.source import Strategy


def default_path() -> Path:
    """Returns the default path of the history, in the platform's directory for user data."""
    return platformdirs.user_data_path("vecparity", appauthor=False) / "history.sqlite3"


class History:
    """The history in one file. Several processes may use it at once; every addition is atomic.

    A file of an earlier version is read as it is. To change it, it is migrated (`migration.migrate`): the default one
    at once, with a warning; one that was named only on request, since other people's earlier versions may read it.

    Args:
        path: The file; by default `default_path`.
        create: Whether to create the file if it does not exist, and check that it can be written; otherwise the history
            is opened read-only.

    Attributes:
        path: The file.

    Raises:
        UsageError: The path is invalid, or the file does not exist, is not a history, belongs to a newer version, or is
            to be migrated first.
        MachineError: The file is damaged, or cannot be read or written. It is left unchanged.
    """

    def __init__(self, path: str | Path | None = None, *, create: bool = False) -> None:
        self.path = default_path() if path is None else to_path(path, "the history's path")
        opened = connect(self.path, create=create)
        if opened is not None and create and opened[1] < VERSION:
            opened[0].close()
            if path is not None:
                raise UsageError(
                    f"expected a history of version {VERSION} to record in, got version {opened[1]} in {self.path} "
                    "(vecparity history --migrate --history FILE migrates it, and earlier versions of vecparity cannot "
                    "read it then)"
                )
            try:
                backup = migrate(self.path)
            except UsageError:
                pass  # another process has migrated it meanwhile: otherwise it is refused below
            else:
                warnings.warn(
                    f"the history {visible(str(self.path))} was migrated to version {VERSION}, which earlier versions "
                    f"of vecparity cannot read; {visible(str(backup))} is a copy of the old file",
                    stacklevel=2,
                )
            opened = connect(self.path, create=create)
            assert opened is not None and opened[1] == VERSION
        if opened is None:
            raise UsageError(f"no evaluations are recorded yet: vecparity eval records them in {self.path}")
        self._connection, self.version = opened
        self._tables = (
            Version1(self._connection, self.path)
            if self.version == 1
            else Version2(self._connection, self.path, has_notes=self.version == VERSION)
        )
        self._why_nothing_is_added = None if create else "to read only"
        self._create = create

    def __reduce__(self) -> tuple[Any, ...]:
        """Has another process open the same file in the same way."""
        return partial(History, self.path.absolute(), create=self._create), ()

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
            actual = f"{self.path} {self._why_nothing_is_added}"
            raise UsageError(f"expected an open History(path, create=True), to record evaluations, got {actual}")

    def add(self, evaluation: Evaluation, strategy: Strategy, command: str, note: str | None = None) -> int:
        """Records an evaluation.

        Args:
            evaluation: The evaluation, with or without a score.
            strategy: The strategy that was evaluated.
            command: The same for all evaluations of one command.
            note: A person's words about it, one printable line.

        Returns:
            The evaluation's id.

        Raises:
            UsageError: The history was opened read-only, or is closed; or see `require_note`.
            MachineError: The evaluation could not be recorded, or is too large.
        """
        assert evaluation.provenance.strategy_sha256 == strategy.sha256, "another strategy's evaluation"
        require_note(note)
        self.require_additions()
        assert isinstance(self._tables, Version2)
        row = self._tables.row(evaluation, now(), command)
        with self.changing() as tables:
            id_ = tables.add(row, strategy.source)
            tables.note(id_, note, is_imported=False)
            return id_

    @contextmanager
    def changing(self) -> Iterator[Version2]:
        """Yields the tables to change: all changes in the block take effect or, after an error, nothing.

        Raises:
            UsageError: The history was opened read-only, or is closed.
            MachineError: The history could not be written.
        """
        self.require_additions()
        assert isinstance(self._tables, Version2)
        with telling(self.path), writing(self._connection):
            yield self._tables

    def return_room(self) -> None:
        """Makes the file smaller after a removal."""
        with telling(self.path):
            self._connection.execute("VACUUM")

    def count(self) -> int:
        """Returns the number of recorded evaluations."""
        with telling(self.path):
            number: int = self._connection.execute("SELECT count(*) FROM evaluations").fetchone()[0]
            return number

    def count_imported(self) -> int:
        """Returns the number of evaluations that came from files."""
        if self.version < VERSION:
            return 0
        with telling(self.path):
            number: int = self._connection.execute("SELECT count(*) FROM notes WHERE is_imported").fetchone()[0]
            return number

    def entries(self) -> list[Entry]:
        """Returns all entries, oldest first.

        Raises:
            MachineError: An entry is damaged.
        """
        return list(self.each_entry())

    def each_entry(self, *, newest_first: bool = False) -> Iterator[Entry]:
        """Yields all entries, oldest or newest first. Those that are not asked for are not read.

        Raises:
            MachineError: An entry is damaged.
        """
        with telling(self.path):
            yield from self._tables.entries(newest_first=newest_first)

    def require_entries(self) -> None:
        """Checks that there are entries.

        Raises:
            UsageError: Nothing is recorded yet.
        """
        if not self.count():
            raise UsageError(f"no evaluations are recorded yet in {self.path}: vecparity eval records them")

    def newest_command(self) -> list[int]:
        """Returns the ids of the evaluations that the newest command recorded or reused, ascending."""
        newest = "SELECT command FROM evaluations ORDER BY id DESC LIMIT 1"
        with telling(self.path):
            if self.version == VERSION:
                return newest_command(self._connection)
            rows = self._connection.execute(f"SELECT id FROM evaluations WHERE command = ({newest}) ORDER BY id")
            return [id_ for (id_,) in rows]

    def note_reuse(self, command: str, ids: Sequence[int]) -> None:
        """Notes that a command used recorded evaluations, for `newest_command`.

        Raises:
            UsageError, MachineError: See `changing`.
        """
        with self.changing():
            note_reuse(self._connection, command, ids)

    def latest(self) -> Recorded:
        """Returns the evaluation that was recorded last.

        Raises:
            UsageError: Nothing is recorded yet, or see `get`.
            MachineError: The evaluation is damaged.
        """
        self.require_entries()
        with telling(self.path):
            (id_,) = self._connection.execute("SELECT max(id) FROM evaluations").fetchone()
        return self.get(id_)

    def get(self, id_: int) -> Recorded:
        """Returns one evaluation.

        Raises:
            UsageError: No evaluation has this id, or the evaluation is too large to read.
            MachineError: The evaluation is damaged.
        """
        if not isinstance(id_, int):
            raise UsageError(f"an evaluation's id must be an integer, got {id_!r}")
        found = list(self._select("id = ?", id_)) if abs(id_) < 2**63 else []
        if not found:
            raise UsageError(f"{self.path} has no evaluation {id_} (vecparity history lists them)")
        return found[0]

    def evaluations(self, ids: Sequence[int] | None = None) -> list[Recorded]:
        """Returns several evaluations, in the order of ``ids``; or all, oldest first.

        Raises:
            UsageError: An id has no evaluation.
        """
        return list(self._select("TRUE ORDER BY id")) if ids is None else [self.get(id_) for id_ in ids]

    def summaries(self, ids: Collection[int] | None = None) -> list[Summary]:
        """Returns summaries of the evaluations that may rank, oldest first, for `vecparity.leaderboard`.

        Args:
            ids: The evaluations; by default all.

        Raises:
            MachineError: A summary is damaged.
        """
        with telling(self.path):
            return list(self._tables.summaries(ids))

    def same(self, digest: str) -> Iterator[Recorded]:
        """Yields the evaluations with this `fingerprint`, newest first, each read when it is asked for.

        Raises:
            MachineError: An evaluation is damaged.
        """
        for found in self._select("repetition = ? ORDER BY id DESC", digest):
            if fingerprint(found.evaluation.config, found.evaluation.provenance) != digest:
                raise damaged(
                    self.path, found.entry.id, "expected the fingerprint of its settings and provenance, got another"
                )
            yield found

    def of_command(self, command: str) -> Iterator[Recorded]:
        """Yields the evaluations that a command recorded, oldest first, each read when it is asked for.

        Raises:
            MachineError: An evaluation is damaged.
        """
        return self._select("command = ? ORDER BY id", command)

    def check(self) -> int:
        """Reads everything that is recorded, and returns the number of evaluations.

        Raises:
            MachineError: The file, or an evaluation, is damaged.
        """
        with telling(self.path):
            check_pages(self._connection, "integrity_check")
        self.summaries()
        return sum(1 for _ in self._select("TRUE ORDER BY id"))

    def _select(self, where: str, *values: object) -> Iterator[Recorded]:
        with telling(self.path):
            yield from self._tables.select(where, *values)
