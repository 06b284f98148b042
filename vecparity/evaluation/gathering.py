"""Gathers the results of trained runs into an evaluation."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vecparity.audits.finding import AuditFinding
from vecparity.audits.findings import file_unchanged
from vecparity.evaluation.groups import Planned
from vecparity.evaluation.preparation import Prepared
from vecparity.evaluation.result import (
    ByFeature,
    DatasetSummary,
    DivergedRun,
    Evaluation,
    FirstLayer,
    Provenance,
    RunCurve,
    RunResult,
)
from vecparity.task.config import Secret, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.task.dataset_stats import density, pattern_counts
from vecparity.training.loop import Trained
from vecparity.training.runs import Run


def gather_member(
    planned: Planned, index: int, prepared: Prepared, trained: Sequence[Trained], seconds: float
) -> Evaluation:
    """Builds one evaluation of a group.

    Args:
        planned: The group's plan.
        index: The evaluation's position among those prepared.
        prepared: The group's runs and audits.
        trained: The results of the runs.
        seconds: The wall time.
    """
    member, audit = prepared.members[index], prepared.audits[index]
    ended = [(run, end) for run, end in zip(prepared.runs, trained, strict=True) if run.evaluation == member.position]
    findings = audit.findings(prepared.runs, trained, planned.config) if audit else []
    if audit and member.task.strategy.origin == "file":
        findings.append(file_unchanged(member.task.strategy.sha256, Path(member.task.strategy.path)))
    stamp = replace(planned.stamps[member.position], wall_seconds=seconds)
    return gather(planned.config, member.task.seeds.secrets(planned.config), ended, findings, stamp)


def gather(
    config: TaskConfig,
    secrets: Sequence[Secret],
    ended: Sequence[tuple[Run, Trained]],
    findings: list[AuditFinding],
    provenance: Provenance,
) -> Evaluation:
    """Builds one evaluation.

    Args:
        config: The settings.
        secrets: All of the evaluation's secrets. A sealed evaluation contains nothing that would reveal one.
        ended: Runs with their results, ordered by (secret, ordering).
        findings: The findings of audits.
        provenance: The evaluation's provenance.
    """
    is_sealed = provenance.seal is not None
    datasets = {run.secret_index: run.dataset for run, _ in ended}
    return Evaluation(
        config=config,
        datasets=[_of_dataset(i, data, secrets[i], is_sealed) for i, data in datasets.items()],
        results=[
            RunResult(run.secret_index, run.order_index, end.steps, end.test_accuracy)
            for run, end in ended
            if end.test_accuracy is not None
        ],
        diverged=[
            DivergedRun(run.secret_index, run.order_index, end.steps) for run, end in ended if end.test_accuracy is None
        ],
        curves=[RunCurve(run.secret_index, run.order_index, end.curve) for run, end in ended],
        first_layers=[
            FirstLayer(
                run.secret_index, run.order_index, by_feature(end.first_layer, secrets[run.secret_index], is_sealed)
            )
            for run, end in ended
            if end.first_layer is not None
        ],
        findings=findings,
        provenance=provenance,
    )


def by_feature(values: Sequence[float], secret: Secret, is_sealed: bool) -> ByFeature:
    """Averages one value per feature over the secret's features and over the other features."""
    others = [value for feature, value in enumerate(values) if feature not in secret]
    return ByFeature(
        secret=statistics.fmean(values[feature] for feature in secret),
        others=statistics.fmean(others) if others else None,
        each=None if is_sealed else list(values),
    )


def _of_dataset(i: int, data: Dataset, secret: Secret, is_sealed: bool) -> DatasetSummary:
    return DatasetSummary(
        secret_index=i,
        num_examples=data.num_examples,
        positive_rate=data.positive_rate,
        secret=None if is_sealed else list(secret),
        patterns_covered=len(pattern_counts(data, secret)),
        density=by_feature(density(data).tolist(), secret, is_sealed),
    )
