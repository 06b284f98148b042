"""Results to metric lines, JSON and tables. Source: contract section 6."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from vecparity.evaluation import DatasetSummary, Evaluation
from vecparity.files import write_whole
from vecparity.spec import TaskConfig

_DIGEST_LINES = 5


def task_config_line(config: TaskConfig) -> str:
    return (
        f"TASK_CONFIG N={config.n_features} K={config.secret_size} W={config.hidden_width} "
        f"num_hidden_secrets={config.num_hidden_secrets} num_orderings={config.num_orderings} "
        f"test_set_size={config.test_set_size} batch_size={config.batch_size} max_steps={config.max_steps}"
    )


def dataset_lines(datasets: Iterable[DatasetSummary]) -> list[str]:
    return [
        f"DATASET_METRICS secret={data.secret_index} num_examples={data.num_examples} "
        f"positive_rate={data.positive_rate:.6f}"
        for data in datasets
    ]


def train_line(secret_index: int, order_index: int, step: int, loss: float, accuracy: float) -> str:
    return f"TRAIN_METRICS secret={secret_index} order={order_index} step={step} loss={loss:.6f} acc={accuracy:.6f}"


def run_lines(evaluation: Evaluation) -> list[str]:
    return [
        f"RUN_METRICS secret={run.secret_index} order={run.order_index} steps={run.steps} "
        f"test_accuracy={run.test_accuracy:.6f}"
        for run in evaluation.results
    ]


def final_lines(evaluation: Evaluation) -> list[str]:
    """FINAL_METRICS and TEST_METRICS; nothing where there is no score."""
    if evaluation.why_no_score:
        return []
    metrics = evaluation.metrics
    return [
        f"FINAL_METRICS test_accuracy={metrics.test_accuracy:.6f} score={metrics.score:.6f} "
        f"test_accuracy_std={metrics.test_accuracy_std:.6f} mean_steps={metrics.mean_steps:.6f} "
        f"num_runs={metrics.num_runs}",
        f"TEST_METRICS test_accuracy={metrics.test_accuracy:.6f} score={metrics.score:.6f}",
    ]


def digest_lines(evaluation: Evaluation) -> list[str]:
    """What an author reads: TASK_CONFIG, the last windows, the last runs and the final lines."""
    windows = sorted(
        (step, run.secret_index, run.order_index, loss, accuracy)
        for run in evaluation.curves
        for step, loss, accuracy in zip(run.curve.step, run.curve.loss, run.curve.accuracy, strict=True)
    )
    return [
        task_config_line(evaluation.config),
        *(train_line(i, j, step, loss, accuracy) for step, i, j, loss, accuracy in windows[-_DIGEST_LINES:]),
        *run_lines(evaluation)[-_DIGEST_LINES:],
        *final_lines(evaluation),
    ]


def document(evaluation: Evaluation) -> dict[str, Any]:
    """The JSON of an evaluation. ``metrics`` is null where a run diverged or a strict audit failed.

    ``curves`` holds ``runs`` ([secret, order] each), the steps of the longest run's windows, and for each run its
    losses and accuracies at the first of those steps, rounded to 6 decimals.
    """
    curves = evaluation.curves
    return {
        "config": asdict(evaluation.config),
        "metrics": None if evaluation.why_no_score else asdict(evaluation.metrics),
        "results": [asdict(run) for run in evaluation.results],
        "diverged": [asdict(run) for run in evaluation.diverged],
        "datasets": [asdict(data) for data in evaluation.datasets],
        "audit": [asdict(finding) for finding in evaluation.findings],
        "provenance": asdict(evaluation.provenance),
        "curves": {
            "runs": [[run.secret_index, run.order_index] for run in curves],
            "step": max((run.curve.step for run in curves), key=len),
            "loss": [[round(value, 6) for value in run.curve.loss] for run in curves],
            "accuracy": [[round(value, 6) for value in run.curve.accuracy] for run in curves],
        },
    }


def save(content: dict[str, Any], path: Path) -> None:
    """Writes JSON so that ``path`` holds either all of it or what it held before.

    Raises:
        OSError: It cannot be written.
    """
    write_whole(path, json.dumps(content, allow_nan=False).encode())


def table(rows: Sequence[tuple[str, Evaluation]]) -> Table:
    """One line for each labelled evaluation."""
    made = Table("configuration", "strategy", "seed", "engine")
    for column in ("test accuracy", "mean steps", "runs", "seconds"):
        made.add_column(column, justify="right")
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
        made.add_row(label, provenance.strategy, str(provenance.seed), provenance.engine, *figures, seconds)
    return made
