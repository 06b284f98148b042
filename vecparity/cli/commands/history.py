"""``vecparity history``: lists recorded evaluations."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from vecparity.cli.arguments import Integer
from vecparity.cli.output import Column, Format, show_records
from vecparity.errors import UsageError

_SORTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "newest": lambda record: -record["id"],
    "oldest": lambda record: record["id"],
    "accuracy": lambda record: 1 if record["test_accuracy"] is None else -record["test_accuracy"],
    "steps": lambda record: float("inf") if record["mean_steps"] is None else record["mean_steps"],
    "strategy": lambda record: (record["strategy"], -record["id"]),
}
_COLUMNS = {
    "id": Column("id", is_number=True),
    "recorded_at": Column("recorded", lambda at: f"{datetime.fromisoformat(at).astimezone():%m-%d %H:%M}"),
    "strategy": Column("strategy"),
    "strategy_sha256": Column("source", lambda digest: str(digest[:8]), is_secondary=True),
    "seed": Column("seed", is_number=True),
    "label": Column("config"),
    "protocol": Column("protocol"),
    "engine": Column("engine", is_secondary=True),
    "test_accuracy": Column("accuracy", lambda share: f"{share:.6f}", is_number=True),
    "mean_steps": Column("steps", lambda steps: f"{steps:,.0f}", is_number=True),
    "notes": Column("notes"),
    "num_runs": Column("runs", is_number=True, is_secondary=True),
    "wall_seconds": Column("seconds", lambda seconds: f"{seconds:.1f}", is_number=True, is_secondary=True),
}
_CSV = {
    **{name: column for name, column in _COLUMNS.items() if name != "notes"},
    **{name: Column(name) for name in ("num_diverged", "failed_audits", "seal")},
}


def history(
    *,
    strategy: str | None = None,
    config: str | None = None,
    protocol: Literal["full", "published", "full+smoke", "published+smoke", "custom"] | None = None,
    seed: Integer = None,
    since: datetime | None = None,
    sort: Literal["newest", "oldest", "accuracy", "steps", "strategy"] = "newest",
    limit: Integer = None,
    format_: Annotated[Format, Parameter(name="--format")] = "table",
    history_: Annotated[Path | None, Parameter(name="--history")] = None,
) -> int:
    """List recorded evaluations.

    Args:
        strategy: Only evaluations of the strategy with this name or this beginning of its source's SHA-256.
        config: Only evaluations with this N and K, such as n32-k8.
        protocol: Only evaluations under this protocol; custom for evaluations with other settings.
        seed: Only evaluations under this top-level seed.
        since: Only evaluations recorded at this time or later.
        sort: The order of the list.
        limit: The most evaluations to list.
        format_: The output format.
        history_: The file in which evaluations are recorded; by default one in the user's data directory.
    """
    from vecparity.history.store import History

    if since is not None and since.year < 1970:
        raise UsageError(f"since must be 1970 or later, got {since:%Y-%m-%d}")
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1, got {limit}")
    with History(history_) as recorded:
        entries = recorded.require_entries()
    wanted = [
        asdict(entry)
        for entry in entries
        if (strategy is None or strategy == entry.strategy or _begins(entry.strategy_sha256, strategy))
        and config in (None, entry.label)
        and protocol in (None, entry.protocol)
        and seed in (None, entry.seed)
        and (since is None or datetime.fromisoformat(entry.recorded_at) >= since.astimezone())
    ]
    if not wanted and format_ == "table":
        raise UsageError(f"no recorded evaluation matches (0 of {len(entries)})")
    records = sorted(wanted, key=_SORTED[sort])[:limit]
    if format_ in ("table", "markdown"):
        records = [record | {"notes": _notes(record)} for record in records]
    show_records(records, _CSV if format_ == "csv" else _COLUMNS, format_)
    return 0


def _notes(record: Mapping[str, Any]) -> str:
    """Returns the reservations about the figures: diverged runs, failed audits, and a seal."""
    notes = [f"{record['num_diverged']} diverged"] if record["num_diverged"] else []
    notes += [f"fails {', '.join(record['failed_audits'].split())}"] if record["failed_audits"] else []
    notes += [f"sealed {record['seal'][:8]}"] if record["seal"] else []
    return "; ".join(notes)


def _begins(digest: str, beginning: str) -> bool:
    return len(beginning) >= 4 and digest.startswith(beginning.lower())
