"""Evaluations built from per-run figures, those of `golden/published.json` or any others."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from conftest import golden

from vecparity.audits.finding import DECIDING, AuditFinding
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
from vecparity.task.config import task_config
from vecparity.training.curve import Curve

_PROVENANCE = Provenance(
    vecparity="0",
    torch="0",
    python="0",
    engine="native",
    device="cpu",
    device_type="cpu",
    dtype="float32",
    strategy="",
    strategy_sha256="",
    seed=42,
    protocol="published",
    init_device="cpu",
    containment="none",
    audit="off",
    seal=None,
    wall_seconds=1.0,
)
_HALF = ByFeature(secret=0.5, others=0.5, each=None)


def made(
    strategy: str, ends: Sequence[Sequence[tuple[int, float]]], label: str = "n32-k8", seed: int = 42, **settings: Any
) -> Evaluation:
    """An evaluation under protocol published.

    Args:
        strategy: Its name, which stands for its source, too.
        ends: Steps and test accuracy of each secret's orderings.
        label: The configuration.
        seed: Top-level seed.
        **settings: What differs from the protocol's, beside the numbers of secrets and orderings.
    """
    numbers = {"num_hidden_secrets": len(ends), "num_orderings": len(ends[0])}
    places = [(i, j) for i in range(len(ends)) for j in range(len(ends[0]))]
    return Evaluation(
        config=task_config(label, protocol="published", **(numbers | settings)),
        datasets=[DatasetSummary(i, 100, 0.5, None, 64, _HALF) for i in range(len(ends))],
        results=[RunResult(i, j, *ends[i][j]) for i, j in places],
        diverged=[],
        curves=[RunCurve(i, j, Curve([1], [0.7], [0.5])) for i, j in places],
        first_layers=[FirstLayer(i, j, _HALF) for i, j in places],
        findings=[],
        provenance=replace(
            _PROVENANCE, strategy=strategy, strategy_sha256=sha256(strategy.encode()).hexdigest(), seed=seed
        ),
    )


def changed(evaluation: Evaluation, **provenance: Any) -> Evaluation:
    """The same with another provenance."""
    return replace(evaluation, provenance=replace(evaluation.provenance, **provenance))


def audited(evaluation: Evaluation) -> Evaluation:
    """The same, had all audits decided, and it passed."""
    findings = [AuditFinding(name, True, "as expected", {}) for name in DECIDING]
    return replace(changed(evaluation, audit="strict"), findings=findings)


def diverged(evaluation: Evaluation) -> Evaluation:
    """The same, had its first run diverged."""
    return replace(
        evaluation,
        results=evaluation.results[1:],
        diverged=[DivergedRun(0, 0, 7)],
        first_layers=evaluation.first_layers[1:],
    )


def published(strategy: str, label: str = "n32-k8", seed: int = 42) -> Evaluation:
    """Builds the original evaluator's evaluation of a strategy."""
    runs = golden("published")[f"{strategy}_{label.removesuffix('-k8')}_seed{seed}"]["runs"]
    ends = [[(steps, accuracy) for i, _, steps, accuracy in runs if i == secret] for secret in range(5)]
    return made(strategy, ends, label, seed)
