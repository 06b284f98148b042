"""Results as tables for people."""

from collections.abc import Sequence
from typing import Any

from vecparity.cli.fitted_table import Column, FittedTable
from vecparity.evaluation.result import Evaluation

_COLUMNS = {
    "label": Column("config", rank=1),
    "strategy": Column("strategy"),
    "seed": Column("seed", is_number=True, rank=3),
    "engine": Column("engine", rank=5),
    "accuracy": Column("test accuracy", is_number=True),
    "steps": Column("mean steps", lambda steps: f"{steps:,.0f}", is_number=True, rank=2),
    "runs": Column("runs", is_number=True, rank=4),
    "seconds": Column("seconds", lambda seconds: f"{seconds:.1f}", is_number=True, rank=6),
}


def results(rows: Sequence[tuple[str, Evaluation]], remedy: str) -> FittedTable:
    """Builds a table with one line for each labelled evaluation, for a terminal of any width.

    Args:
        rows: Labels and evaluations.
        remedy: Says where columns that are left out are shown.
    """
    records = [_record(label, evaluation) for label, evaluation in rows]
    return FittedTable(records, _COLUMNS, is_boxed=False, remedy=remedy)


def _record(label: str, evaluation: Evaluation) -> dict[str, Any]:
    provenance = evaluation.provenance
    record: dict[str, Any] = {
        "label": label,
        "strategy": provenance.title,
        "seed": provenance.seed,
        "engine": provenance.engine,
        "runs": len(evaluation.curves),
        "seconds": provenance.wall_seconds,
    }
    if evaluation.diverged:
        return record | {"accuracy": f"{len(evaluation.diverged)} runs diverged"}
    if evaluation.why_no_score:
        return record | {"accuracy": "failed its audit"}
    metrics = evaluation.metrics
    accuracy = f"{metrics.test_accuracy:.6f} ± {metrics.test_accuracy_std:.6f}"
    return record | {"accuracy": accuracy, "steps": metrics.mean_steps}
