"""Evaluations within the pages about searches and sweeps, which may have a thousand: figures, without curves."""

from dataclasses import asdict
from typing import Any

from vecparity.evaluation.result import Evaluation
from vecparity.evaluation.summary import summarize


def evaluation_in_brief(evaluation: Evaluation) -> dict[str, Any]:
    """Returns an evaluation as plain values: settings, metrics, findings, provenance, and means over each secret.

    ``metrics`` is null if there is no score, and ``why_no_score`` says why.
    """
    return {
        "config": asdict(evaluation.config),
        **figures_in_brief(evaluation),
        "audit": [asdict(finding) for finding in evaluation.findings],
        "provenance": asdict(evaluation.provenance.without_host),
    }


def figures_in_brief(evaluation: Evaluation) -> dict[str, Any]:
    """Returns an evaluation's metrics and the means over each secret's runs, or the reason why it has no score."""
    if problem := evaluation.why_no_score:
        return {"metrics": None, "why_no_score": str(problem)}
    summary = summarize(evaluation)
    orderings = summary.num_runs // len(summary.step_sums)
    return {
        "metrics": asdict(evaluation.metrics),
        "accuracy_by_secret": summary.accuracies,
        "steps_by_secret": [total / orderings for total in summary.step_sums],
    }
