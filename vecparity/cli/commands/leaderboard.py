"""``vecparity leaderboard``: ranks the strategies that are recorded, or in files."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vecparity.cli import json_lines
from vecparity.cli.arguments import Seeds, Switch
from vecparity.cli.output import Column, Format, show, show_json, show_records
from vecparity.errors import UsageError
from vecparity.evaluation.params import params_key
from vecparity.task.config import CONFIGURATIONS, Protocol

if TYPE_CHECKING:
    from vecparity.analysis.leaderboard import League
    from vecparity.analysis.standings import Standing
    from vecparity.evaluation.summary import Summary

_PUBLIC = "public"


def leaderboard(
    *files: Path,
    protocol: Protocol | None = None,
    seal: str | None = None,
    init_device: Literal["cpu", "cuda"] | None = None,
    seed: Annotated[Seeds, Parameter(show_default=False)] = (),
    published: Switch = False,
    format_: Annotated[Format, Parameter(name="--format")] = "table",
    wide: Switch = False,
    history: Path | None = None,
) -> int:
    """Rank strategies as the benchmark does: by test accuracy over all configurations, then by steps.

    Only verified scores have a rank: sealed ones (eval --seal-key), and those under public seeds whose audits all
    decided and were passed (eval --audit strict). The others stand below, with the command that verifies them.

    Args:
        files: JSON files of vecparity eval, or of vecparity history export, to rank instead of what is recorded; with
            --history, beside it. Whether scores are verified is what the files say: nothing shows who made them.
        protocol: Rank evaluations with this protocol's settings, none overridden. By default the newest evaluation's.
        seal: Rank evaluations under this seal: the beginning of its digest, or public. By default the newest's.
        init_device: Rank evaluations whose weights were drawn on this device. By default the newest's.
        seed: The top-level seeds that count. By default all; a ranked strategy has them on all configurations.
        published: Show the published results too. Requires protocol published.
        format_: The output format. json has everything. In csv, an apostrophe marks texts that look like formulas.
        wide: Show all columns, though the table is wider than the terminal.
        history: The file in which evaluations are recorded; by default one in the user's data directory.
    """
    from vecparity.analysis.published import published as published_results
    from vecparity.analysis.ranking import leaderboard
    from vecparity.evaluation.summary import summarize
    from vecparity.history import exchange
    from vecparity.history.store import History

    if published:
        protocol = protocol or "published"
        published_results(protocol)
    summaries, num_imported = [], 0
    if not files or history is not None:
        with History(history) as opened:
            summaries, num_imported = opened.summaries(), opened.count_imported()
    of_files = [summarize(found.evaluation) for found in exchange.read(files)]
    summaries += of_files
    kind = "an evaluation in the files" if files and history is None else "a recorded evaluation"
    league = _league(summaries, kind, protocol, seal, init_device)
    standings = leaderboard(summaries, league, seed)
    if not standings:
        raise UsageError(f"expected {kind} under seed {', '.join(map(str, seed))}, got none that can be ranked")
    if published:
        standings += published_results(league.protocol)
    _show(standings, league, _of_strangers(len(of_files), num_imported), format_, wide)
    return 0


def _of_strangers(num_in_files: int, num_imported: int) -> str:
    """Returns the sentence about evaluations that the history's own commands did not make; empty if there are none."""
    counts = [f"{num_in_files} evaluations from files"] if num_in_files else []
    counts += [f"{num_imported} that were imported"] if num_imported else []
    return f"{' and '.join(counts)}: whether they are verified is what their files say" if counts else ""


def _league(
    summaries: Sequence["Summary"],
    kind: str,
    protocol: Protocol | None,
    seal: str | None,
    init_device: str | None,
) -> "League":
    """Returns the league of the newest evaluation that ranks and matches the options."""
    from vecparity.analysis.ranking import league_of

    num_leagues = 0
    for summary in reversed(summaries):
        league = league_of(summary)
        if league is None:
            continue
        num_leagues += 1
        is_wanted = protocol in (None, league.protocol) and init_device in (None, league.init_device)
        if is_wanted and (seal is None or (league.seal or _PUBLIC).startswith(seal)):
            return league
    wanted = [f"under protocol {protocol}"] if protocol else []
    wanted += [f"of seal {seal}"] if seal else []
    wanted += [f"with weights drawn on {init_device}"] if init_device else []
    raise UsageError(
        f"expected {kind} {' '.join([*wanted, 'with no setting overridden'])}, got none among "
        f"{num_leagues} of {len(summaries)} that can be ranked"
    )


def _show(standings: Sequence["Standing"], league: "League", of_strangers: str, format_: Format, wide: bool) -> None:
    if format_ == "json":
        places = [asdict(standing) | {"seeds": standing.seeds} for standing in standings]
        if json_lines.is_on():
            json_lines.write(asdict(league) | place for place in places)
            return
        show_json(asdict(league) | {"standings": places})
        return
    records = [asdict(league) | _record(standing) for standing in standings]
    show_records(records, _CSV if format_ == "csv" else _COLUMNS, format_, league.in_words, wide=wide)
    sentences = [*(standing.why_no_rank for standing in standings), of_strangers]
    if format_ != "csv" and any(sentences):
        show("", *filter(None, sentences))


def _record(standing: "Standing") -> dict[str, Any]:
    interval = standing.interval
    record = {
        "rank": standing.rank,
        "place": standing.place,
        "strategy": standing.strategy,
        "sha256": standing.sha256,
        "accuracy": standing.accuracy_text if standing.is_published else standing.accuracy,
        "accuracy_text": standing.accuracy_text,
        "accuracy_low": interval and interval.low,
        "accuracy_high": interval and interval.high,
        "accuracy_interval": interval and [interval.low, interval.high],
        "steps": standing.mean_steps,
        "seeds": " ".join(map(str, standing.seeds)),
        "runs": sum(figures.num_runs for figures in standing.configurations.values()),
        "verified": standing.verified,
        "why_unverified": standing.why_unverified,
        "verify_with": standing.verify_with,
        "failed_audits": " ".join(standing.failed_audits),
        "lacks": standing.lacks,
        "why_no_score": standing.why_no_score,
        "is_published": standing.is_published,
        "params": params_key(standing.params),
    }
    for label, figures in standing.configurations.items():
        interval = figures.interval
        record |= {
            label: figures.text,
            f"{label}_accuracy": figures.as_published[0] if figures.as_published else figures.accuracy,
            f"{label}_low": interval and interval.low,
            f"{label}_high": interval and interval.high,
            f"{label}_steps": figures.as_published[1] if figures.as_published else figures.mean_steps,
            f"{label}_runs": figures.num_runs,
        }
    return record


_COLUMNS = {
    "place": Column("rank"),
    "strategy": Column("strategy"),
    **{label: Column(label, is_number=True, rank=5 + number) for number, label in enumerate(CONFIGURATIONS)},
    "accuracy_text": Column("accuracy", is_number=True),
    "accuracy_interval": Column("95% interval", lambda ends: f"{ends[0]:.4f} to {ends[1]:.4f}", is_number=True, rank=3),
    "steps": Column("steps", lambda steps: f"{steps:,.0f}", is_number=True, rank=1),
    "runs": Column("runs", is_number=True, rank=9),
    "seeds": Column("seeds", rank=4),
    "verified": Column("verified", rank=2),
}
_CSV = {
    name: Column(name)
    for name in (
        *("rank", "strategy", "sha256", "accuracy", "accuracy_low", "accuracy_high", "steps", "seeds", "runs"),
        *(f"{label}_{figure}" for label in CONFIGURATIONS for figure in ("accuracy", "low", "high", "steps", "runs")),
        *("verified", "why_unverified", "verify_with", "failed_audits", "lacks", "why_no_score", "is_published"),
        *("protocol", "seal", "dtype", "init_device"),
        "params",
    )
}
