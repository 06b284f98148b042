"""Results as tables for people."""

from collections.abc import Sequence

from rich.table import Table

from vecparity.evaluation.result import Evaluation


def table(rows: Sequence[tuple[str, Evaluation]]) -> Table:
    """Builds a table with one line for each labelled evaluation."""
    result_table = Table("", "strategy", "seed", "engine", box=None, padding=(0, 1, 0, 0), header_style="bold")
    for column in ("test accuracy", "mean steps", "runs", "seconds"):
        result_table.add_column(column, justify="right")
    for label, evaluation in rows:
        provenance = evaluation.provenance
        if evaluation.diverged:
            figures = [f"{len(evaluation.diverged)} runs diverged", "", str(len(evaluation.curves))]
        elif evaluation.why_no_score:
            figures = ["failed its audit", "", str(len(evaluation.curves))]
        else:
            metrics = evaluation.metrics
            accuracy = f"{metrics.test_accuracy:.6f} ± {metrics.test_accuracy_std:.6f}"
            figures = [accuracy, f"{metrics.mean_steps:,.0f}", str(metrics.num_runs)]
        seconds = f"{provenance.wall_seconds:.1f}"
        result_table.add_row(label, provenance.title, str(provenance.seed), provenance.engine, *figures, seconds)
    return result_table
