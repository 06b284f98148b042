"""Comparisons as records, and the columns that show them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vecparity.cli.output import Column

if TYPE_CHECKING:
    from vecparity.analysis.comparison import Comparison
    from vecparity.analysis.contenders import Contender
    from vecparity.analysis.difference import Difference


def _accuracy(share: float) -> str:
    return f"{share:.4f}"


def _steps(steps: float) -> str:
    return f"{steps:,.0f}"


def _accuracy_change(change: Sequence[float]) -> str:
    return _change([f"{value:+.4f}" for value in change])


def _steps_change(change: Sequence[float]) -> str:
    return _change([f"{value:+,.0f}" for value in change])


def _change(shown: Sequence[str]) -> str:
    """Joins the difference and its interval, or says that there is no interval."""
    return f"{shown[0]} ({shown[1]} to {shown[2]})" if len(shown) > 1 else f"{shown[0]} (no interval)"


def _tally(counts: Sequence[int]) -> str:
    return " / ".join(map(str, counts))


# To fit a terminal, intervals are left to the verdicts below, and the first side's name to the title.
TABLE = {
    "config": Column("config"),
    "strategy": Column("strategy"),
    "num_compared": Column("secrets", is_number=True, rank=4),
    "accuracy": Column("accuracy", _accuracy, is_number=True),
    "accuracy_difference": Column("change", lambda change: f"{change:+.4f}", is_number=True, rank=1),
    "accuracy_tally": Column("w / l / t", _tally, is_number=True, rank=5),
    "steps": Column("steps", _steps, is_number=True, rank=2),
    "steps_difference": Column("steps change", lambda change: f"{change:+,.0f}", is_number=True, rank=3),
    "steps_tally": Column("steps w / l / t", _tally, is_number=True, rank=6),
}
MARKDOWN = {
    "config": Column("configuration"),
    "strategy": Column("strategy"),
    "against": Column("against"),
    "secrets": Column("secrets", is_number=True),
    "accuracy": Column("accuracy", _accuracy, is_number=True),
    "accuracy_change": Column("change (95% interval)", _accuracy_change, is_number=True),
    "accuracy_tally": Column("won / lost / tied", _tally, is_number=True),
    "steps": Column("steps", _steps, is_number=True),
    "steps_change": Column("change (95% interval)", _steps_change, is_number=True),
    "steps_tally": Column("won / lost / tied", _tally, is_number=True),
}
_FIGURES = ("", "_against", "_difference", "_low", "_high", "_is_real", "_wins", "_losses", "_ties")
CSV = {
    name: Column(name)
    for name in (
        *("config", "strategy", "against", "is_paired", "num_common", "num_secrets", "num_runs"),
        *("sha256", "sha256_against", "seeds", "seeds_against", "seal", "seal_against"),
        *("failed_audits", "failed_audits_against"),
        *(figure + part for figure in ("accuracy", "steps") for part in _FIGURES),
    )
}
SECRETS = {
    "config": Column("config", rank=1),
    "strategy": Column("strategy"),
    "against": Column("against", rank=6),
    "seed": Column("seed", is_number=True, rank=4),
    "secret": Column("secret", is_number=True),
    "accuracy_against": Column("accuracy against", _accuracy, is_number=True, rank=2),
    "accuracy": Column("accuracy", _accuracy, is_number=True),
    "steps_against": Column("steps against", _steps, is_number=True, rank=5),
    "steps": Column("steps", _steps, is_number=True, rank=3),
}


def summary_record(comparison: "Comparison") -> dict[str, Any]:
    """Returns one record for a comparison, for `TABLE`, `MARKDOWN` or `CSV`."""
    return {
        "config": comparison.config,
        "strategy": comparison.second.name,
        "against": comparison.first.name,
        "is_paired": comparison.is_paired,
        "num_common": comparison.num_common,
        "num_secrets": comparison.second.num_secrets,
        "num_runs": comparison.second.num_runs,
        "num_compared": comparison.num_common or comparison.second.num_secrets,
        "secrets": f"{comparison.num_common or comparison.second.num_secrets}, {_pairing(comparison)}",
        **_side(comparison.second, ""),
        **_side(comparison.first, "_against"),
        **_figures("accuracy", comparison.accuracy),
        **_figures("steps", comparison.steps),
    }


def _pairing(comparison: "Comparison") -> str:
    if not comparison.is_paired:
        return "others"
    is_all = comparison.num_common == comparison.first.num_secrets == comparison.second.num_secrets
    return "the same" if is_all else "in common"


def _side(side: "Contender", suffix: str) -> dict[str, Any]:
    return {
        f"sha256{suffix}": side.sha256,
        f"seeds{suffix}": " ".join(map(str, side.seeds)),
        f"seal{suffix}": side.seal,
        f"failed_audits{suffix}": " ".join(side.failed_audits),
    }


def secret_records(comparison: "Comparison") -> list[dict[str, Any]]:
    """Returns one record for each secret, for `SECRETS`."""
    return [
        {
            "config": comparison.config,
            "strategy": comparison.second.name,
            "against": comparison.first.name,
            "seed": secret.seed,
            "secret": secret.secret_index,
            "accuracy_against": secret.first and secret.first.accuracy,
            "accuracy": secret.second and secret.second.accuracy,
            "steps_against": secret.first and secret.first.steps,
            "steps": secret.second and secret.second.steps,
        }
        for secret in comparison.secrets
    ]


def _figures(name: str, difference: "Difference") -> dict[str, Any]:
    """Returns one figure's part of a record: single values for CSV, grouped values for people."""
    interval, tally = difference.interval, difference.tally
    return {
        name: difference.second,
        f"{name}_against": difference.first,
        f"{name}_difference": difference.difference,
        f"{name}_low": interval and interval.low,
        f"{name}_high": interval and interval.high,
        f"{name}_is_real": difference.is_real,
        f"{name}_wins": tally and tally.wins,
        f"{name}_losses": tally and tally.losses,
        f"{name}_ties": tally and tally.ties,
        f"{name}_change": [difference.difference, *([interval.low, interval.high] if interval else [])],
        f"{name}_tally": tally and [tally.wins, tally.losses, tally.ties],
    }
