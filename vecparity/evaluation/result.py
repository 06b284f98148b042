"""What an evaluation is when it is done: each run's end, the figures over all, and what made them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vecparity.audits.findings import AuditFinding
from vecparity.audits.mode import AuditMode
from vecparity.errors import AuditFailedError, DivergedError, UsageError
from vecparity.sandbox.levels import Level
from vecparity.task.config import TaskConfig
from vecparity.training.loop import Curve

if TYPE_CHECKING:
    import pandas as pd

# An error is a line, and all 100 runs may have diverged.
_MOST_RUNS_NAMED = 3


@dataclass(frozen=True)
class ByFeature:
    """One figure of each input feature.

    Attributes:
        secret: Its mean over the secret's features.
        others: Its mean over the other features, or None if there are none.
        each: The figure of each feature, or None where the secret is sealed, which it would tell.
    """

    secret: float
    others: float | None
    each: list[float] | None


@dataclass(frozen=True)
class DatasetSummary:
    """One secret's training set.

    Attributes:
        secret_index: i, from 0.
        num_examples: Rows.
        positive_rate: Share of them with label 1.
        secret: The secret's features, or None where it is sealed.
        patterns_covered: How many of the 2^K patterns of the secret's bits occur in any row.
        density: Share of the rows in which a feature is on (`dataset_stats.density`).
    """

    secret_index: int
    num_examples: int
    positive_rate: float
    secret: list[int] | None
    patterns_covered: int
    density: ByFeature


@dataclass(frozen=True)
class FirstLayer:
    """What one run's first layer had become in the end: the mean over hidden units of a feature's |weight|."""

    secret_index: int
    order_index: int
    mean_abs_weight: ByFeature


@dataclass(frozen=True)
class RunResult:
    """How one run ended: the steps until it stopped and the share of its secret's test set that it got right."""

    secret_index: int
    order_index: int
    steps: int
    test_accuracy: float


@dataclass(frozen=True)
class DivergedRun:
    """A run that was frozen, with the step whose loss was not finite."""

    secret_index: int
    order_index: int
    step: int


@dataclass(frozen=True)
class RunCurve:
    """What one run's windows showed."""

    secret_index: int
    order_index: int
    curve: Curve


@dataclass(frozen=True)
class Metrics:
    """The evaluation's figures (contract section 6): means over all runs, the population's standard deviation."""

    test_accuracy: float
    score: float
    test_accuracy_std: float
    mean_steps: float
    num_runs: int


@dataclass(frozen=True)
class Provenance:
    """What made an evaluation. ``wall_seconds`` is that of all evaluations that shared the ensemble.

    ``device`` is the model, ``device_type`` is ``cpu`` or ``cuda``. ``containment`` is what was in force while the
    strategy's functions ran; ``seal`` is the digest of the key of a sealed evaluation.
    """

    vecparity: str
    torch: str
    python: str
    engine: str
    device: str
    device_type: str
    dtype: str
    strategy: str
    strategy_sha256: str
    seed: int
    protocol: str
    init_device: str
    containment: Level
    audit: AuditMode
    seal: str | None
    wall_seconds: float


@dataclass(frozen=True)
class Evaluation:
    """One strategy's result under one seed; lists are ordered by (secret, ordering).

    Attributes:
        config: The settings.
        datasets: One summary a secret.
        results: One a run, but for diverged ones.
        diverged: Runs whose loss ceased to be finite.
        curves: One a run.
        first_layers: One a run, but for diverged ones.
        findings: What audits found.
        provenance: What made it.
    """

    __module__ = "vecparity"  # where it is found again by what has kept it, as pickle does, with all that is attached

    config: TaskConfig
    datasets: list[DatasetSummary]
    results: list[RunResult]
    diverged: list[DivergedRun]
    curves: list[RunCurve]
    first_layers: list[FirstLayer]
    findings: list[AuditFinding]
    provenance: Provenance

    @property
    def failed_findings(self) -> list[AuditFinding]:
        return [finding for finding in self.findings if finding.passed is False]

    @property
    def failed_audits(self) -> list[str]:
        """Their names."""
        return [finding.name for finding in self.failed_findings]

    @property
    def why_no_score(self) -> DivergedError | AuditFailedError | None:
        """Why there are no figures: a run diverged, or a strict audit failed."""
        what = f"{self.provenance.strategy} with seed {self.provenance.seed} has no score"
        if self.diverged:
            runs = ", ".join(
                f"secret={run.secret_index} order={run.order_index} (step {run.step})"
                for run in self.diverged[:_MOST_RUNS_NAMED]
            )
            if (left_out := len(self.diverged) - _MOST_RUNS_NAMED) > 0:
                runs += f" and {left_out} more"
            return DivergedError(
                f"{what}: expected finite losses, got {len(self.diverged)} diverged of "
                f"{len(self.diverged) + len(self.results)} runs: {runs}"
            )
        if self.provenance.audit == "strict" and self.failed_findings:
            found = "; ".join(f"{finding.name}: {finding.summary}" for finding in self.failed_findings)
            return AuditFailedError(f"{what}: {found}")
        return None

    @property
    def metrics(self) -> Metrics:
        """The figures.

        Raises:
            DivergedError: A run diverged: there is no score.
            AuditFailedError: A strict audit failed: there is no score.
        """
        if problem := self.why_no_score:
            raise problem
        accuracies = [result.test_accuracy for result in self.results]
        mean = math.fsum(accuracies) / len(accuracies)
        variance = math.fsum((value - mean) ** 2 for value in accuracies) / len(accuracies)
        mean_steps = sum(result.steps for result in self.results) / len(self.results)
        return Metrics(mean, mean, math.sqrt(variance), mean_steps, len(self.results))

    if TYPE_CHECKING:
        # Attached by `api`: frames and reports know evaluations, not the other way round.
        def to_dataframe(self, /, what: Literal["runs", "curves"] = "runs") -> "pd.DataFrame": ...

        def _repr_html_(self, /) -> str: ...


def listed(evaluations: Evaluation | Iterable[Evaluation]) -> list[Evaluation]:
    """Takes one evaluation, or several, from a caller.

    Raises:
        UsageError: It is something else, or something else is among them.
    """
    is_several = isinstance(evaluations, Iterable) and not isinstance(evaluations, str)
    given: list[Any] = list(evaluations) if is_several else [evaluations]  # type: ignore[arg-type]
    for each in given:
        if not isinstance(each, Evaluation):
            raise UsageError(f"expected evaluations (evaluate makes one), got {each!r}")
    return given
