"""``vecparity history``: lists recorded evaluations; `history_changes` has the commands below it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from vecparity.cli.arguments import Integer, Switch
from vecparity.cli.commands import history_files
from vecparity.cli.output import Column, Format, show_records
from vecparity.errors import UsageError
from vecparity.evaluation.params import params_key

if TYPE_CHECKING:
    from vecparity.history.records import Entry

# Orders of ids need not read all entries.
_BY_ID = {"newest": True, "oldest": False}
_SORTED: dict[str, Callable[["Entry"], Any]] = {
    "accuracy": lambda entry: 1 if entry.test_accuracy is None else -entry.test_accuracy,
    "steps": lambda entry: float("inf") if entry.mean_steps is None else entry.mean_steps,
    "strategy": lambda entry: (entry.title, -entry.id),
}
_COLUMNS = {
    "id": Column("id", is_number=True),
    "recorded_at": Column("recorded", lambda at: f"{datetime.fromisoformat(at).astimezone():%m-%d %H:%M}", rank=4),
    "title": Column("strategy"),
    "strategy_sha256": Column("source", lambda digest: str(digest[:8]), rank=8),
    "seed": Column("seed", is_number=True, rank=5),
    "label": Column("config", rank=1),
    "protocol": Column("protocol", rank=6),
    "engine": Column("engine", rank=7),
    "test_accuracy": Column("accuracy", lambda share: f"{share:.6f}", is_number=True),
    "mean_steps": Column("steps", lambda steps: f"{steps:,.0f}", is_number=True, rank=2),
    "notes": Column("notes", rank=3),
    "num_runs": Column("runs", is_number=True, rank=9),
    "wall_seconds": Column("seconds", lambda seconds: f"{seconds:.1f}", is_number=True, rank=10),
}
_CSV = {
    **{("strategy" if name == "title" else name): column for name, column in _COLUMNS.items() if name != "notes"},
    **{name: Column(name) for name in ("num_diverged", "failed_audits", "seal", "params", "has_curves")},
    **{name: Column(name) for name in ("note", "is_imported")},
}


app = App(name="history", version_flags=[])
for _name, _help in {
    "rm": "Remove evaluations for good.",
    "tag": "Note words about evaluations.",
    "export": "Write evaluations to a file that import reads.",
    "import": "Record evaluations from files.",
}.items():
    app.command(f"vecparity.cli.commands.history_changes:{_name}_", name=_name, help=_help)


@app.default
def history(
    *,
    strategy: str | None = None,
    config: str | None = None,
    protocol: Literal["full", "published", "full+smoke", "published+smoke", "custom"] | None = None,
    seed: Integer = None,
    since: datetime | None = None,
    before: datetime | None = None,
    sort: Literal["newest", "oldest", "accuracy", "steps", "strategy"] = "newest",
    limit: Integer = None,
    prune_curves: Switch = False,
    yes: Switch = False,
    migrate: Switch = False,
    check: Switch = False,
    format_: Annotated[Format, Parameter(name="--format")] = "table",
    wide: Switch = False,
    history_: Annotated[Path | None, Parameter(name="--history")] = None,
) -> int:
    """List recorded evaluations, or change the list: rm, tag, export, import.

    Args:
        strategy: Only evaluations of the strategy with this name or this beginning of its source's SHA-256.
        config: Only evaluations with this N and K, such as n32-k8.
        protocol: Only evaluations under this protocol; custom for evaluations with other settings.
        seed: Only evaluations under this top-level seed.
        since: Only evaluations recorded at this time or later.
        before: Only evaluations recorded before this time.
        sort: The order of the list.
        limit: The most evaluations to list.
        prune_curves: Instead of listing the evaluations, say how much room their curves take; with --yes, drop them.
            Everything else stays: what is listed, ranked and compared. Sealed evaluations keep their curves.
        yes: Do what --prune-curves says.
        migrate: Bring the file to the newest version, which earlier versions of vecparity cannot read; the old file is
            kept beside it.
        check: Read the whole file, and say that all of it is as it was recorded.
        format_: The output format. In csv, an apostrophe marks texts that look like formulas.
        wide: Show all columns, though the table is wider than the terminal.
        history_: The file in which evaluations are recorded; by default one in the user's data directory.
    """
    from vecparity.history.store import History, default_path

    _require_one({"--prune-curves": prune_curves, "--migrate": migrate, "--check": check}, yes=yes)
    for name, time in (("since", since), ("before", before)):
        if time is not None and time.year < 1970:
            raise UsageError(f"{name} must be 1970 or later, got {time:%Y-%m-%d}")
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, got {limit}")
    if migrate:
        return history_files.migrate(history_ or default_path())
    with History(history_) as recorded:
        recorded.require_entries()
        if check:
            return history_files.check(recorded)
        wanted = (
            entry
            for entry in recorded.each_entry(newest_first=_BY_ID.get(sort, False))
            if (strategy is None or strategy == entry.strategy or _begins(entry.strategy_sha256, strategy))
            and config in (None, entry.label)
            and protocol in (None, entry.protocol)
            and seed in (None, entry.seed)
            and (since is None or datetime.fromisoformat(entry.recorded_at) >= since.astimezone())
            and (before is None or datetime.fromisoformat(entry.recorded_at) < before.astimezone())
        )
        entries = list(islice(wanted if sort in _BY_ID else sorted(wanted, key=_SORTED[sort]), limit))
        if not entries and (format_ == "table" or prune_curves):
            raise UsageError(f"no recorded evaluation matches (0 of {recorded.count()})")
    if prune_curves:
        return history_files.prune(recorded.path, entries, yes=yes)
    columns = _CSV if format_ == "csv" else _COLUMNS
    show_records([_record(entry, format_) for entry in entries], columns, format_, wide=wide)
    return 0


def _record(entry: "Entry", format_: Format) -> dict[str, Any]:
    record = asdict(entry)
    if format_ == "json":
        return record
    return record | {"title": entry.title, "notes": _notes(record), "params": params_key(entry.params)}


def _require_one(actions: Mapping[str, bool], *, yes: bool) -> None:
    """Checks that at most one thing is asked for besides listing."""
    flags = [flag for flag, is_given in actions.items() if is_given]
    if len(flags) > 1:
        raise UsageError(f"expected one of {', '.join(actions)}, got {' and '.join(flags)}")
    if yes and flags != ["--prune-curves"]:
        raise UsageError(f"--yes requires --prune-curves, got {' '.join([*flags, '--yes'])}")


def _notes(record: Mapping[str, Any]) -> str:
    """Returns a person's note, and the reservations about the figures, such as diverged runs and failed audits."""
    notes = [record["note"]] if record["note"] else []
    notes += ["imported"] if record["is_imported"] else []
    notes += [f"{record['num_diverged']} diverged"] if record["num_diverged"] else []
    notes += [f"fails {', '.join(record['failed_audits'].split())}"] if record["failed_audits"] else []
    notes += [f"sealed {record['seal'][:8]}"] if record["seal"] else []
    notes += [] if record["has_curves"] else ["no curves"]
    return "; ".join(notes)


def _begins(digest: str, beginning: str) -> bool:
    return len(beginning) >= 4 and digest.startswith(beginning.lower())
