"""The result of an evaluation: each run's result, the metrics over all runs, and the provenance."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta

from vecparity.audits.finding import AuditFinding
from vecparity.audits.mode import AuditMode
from vecparity.errors import AuditFailedError, DivergedError, UsageError, visible
from vecparity.evaluation.params import Params, identity, title
from vecparity.sandbox.levels import Level
from vecparity.strategy.source import Origin
from vecparity.task.config import TaskConfig
from vecparity.training.curve import Curve

if TYPE_CHECKING:
    import pandas as pd

# Ranges of the numbers in a file. JSON holds no NaN and no infinity, so these need no other check of finiteness.
Index = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Size = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Value = TypeVar("Value", Size, Share)

# An error message is one line, and all 100 runs may have diverged.
_MOST_RUNS_NAMED = 3


@dataclass(frozen=True)
class ByFeature(Generic[Value]):
    """One value for each input feature.

    Attributes:
        secret: Mean over the secret's features.
        others: Mean over the other features, or None if there are none.
        each: The value of each feature, or None if the secret is sealed, since the values would reveal it.
    """

    secret: Value
    others: Value | None
    each: list[Value] | None


@dataclass(frozen=True)
class DatasetSummary:
    """One secret's training set.

    Attributes:
        secret_index: i, from 0.
        num_examples: Number of rows.
        positive_rate: Share of rows with label 1.
        secret: The secret's features, or None if the secret is sealed.
        patterns_covered: Number of the 2^K patterns of the secret's bits that occur in any row.
        density: Share of the rows in which a feature is on (`dataset_stats.density`).
    """

    secret_index: Index
    num_examples: Count
    positive_rate: Share
    secret: list[Index] | None
    patterns_covered: Index
    density: ByFeature[Share]


@dataclass(frozen=True)
class FirstLayer:
    """One run's first layer after training: for each feature, the mean |weight| over hidden units."""

    secret_index: Index
    order_index: Index
    mean_abs_weight: ByFeature[Size]


@dataclass(frozen=True)
class RunResult:
    """One run's result: the steps until it stopped and its accuracy on its secret's test set, from 0 to 1."""

    secret_index: Index
    order_index: Index
    steps: Index
    test_accuracy: Share


@dataclass(frozen=True)
class DivergedRun:
    """A run frozen because its loss was not finite, with the step of that loss."""

    secret_index: Index
    order_index: Index
    step: Index


@dataclass(frozen=True)
class RunCurve:
    """The curve of one run's windows."""

    secret_index: Index
    order_index: Index
    curve: Curve


@dataclass(frozen=True)
class Metrics:
    """The evaluation's metrics (contract section 6): means over all runs, and the population standard deviation."""

    test_accuracy: Share
    score: Share
    test_accuracy_std: Size
    mean_steps: Size
    num_runs: Count


@dataclass(frozen=True)
class Provenance:
    """The provenance of an evaluation. ``wall_seconds`` covers all evaluations that shared the ensemble.

    ``device`` is the model; ``device_type`` is ``cpu`` or ``cuda``. ``containment`` is the level in force while the
    strategy's functions ran; ``seal`` is the digest of a sealed evaluation's key, and ``draw`` the nonce with which
    the key's owner can repeat it, or None for the key's common draw; ``params`` are the values of the
    strategy's keyword parameters, by name; ``origin`` is the kind of thing that the strategy's source was made of;
    ``engine_version`` is the version of the engine's roundings (see `engines.names`); ``host`` is the name of the
    machine that trained, and ``capability`` the vector instructions that torch used there (`machine.capability`), both
    empty where an earlier version recorded none.
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
    wall_seconds: Size
    params: Params = field(default_factory=dict)
    origin: Origin = "file"
    draw: str | None = None
    engine_version: Count = 1
    host: str = ""
    capability: str = ""

    @property
    def title(self) -> str:
        """The strategy's name with its parameters, which tell entries of one source apart."""
        return title(self.strategy, self.params)

    @property
    def without_host(self) -> "Provenance":
        """The same for pages that are shown to others, whom the name of a machine is no business of."""
        return replace(self, host="")

    @property
    def identity(self) -> tuple[str, str]:
        """The digest of the source and the parameters: the same for everything that one contender made."""
        return identity(self.strategy_sha256, self.params)


@dataclass(frozen=True)
class Evaluation:
    """One strategy's result under one seed; lists are ordered by (secret, ordering).

    Attributes:
        config: The settings.
        datasets: One summary for each secret.
        results: One result for each run that did not diverge.
        diverged: Runs whose loss became non-finite.
        curves: One curve for each run.
        first_layers: One first layer for each run that did not diverge.
        findings: The findings of audits.
        provenance: The evaluation's provenance.
    """

    __module__ = "vecparity"  # the public module, from which pickle imports the class with its attached methods

    config: TaskConfig
    datasets: list[DatasetSummary]
    results: list[RunResult]
    diverged: list[DivergedRun]
    curves: list[RunCurve]
    first_layers: list[FirstLayer]
    findings: list[AuditFinding]
    provenance: Provenance

    def __repr__(self) -> str:
        return f"<Evaluation of {self.in_words}>"

    @property
    def in_words(self) -> str:
        """One line: what was evaluated, and the score or why there is none."""
        provenance = self.provenance
        subject = f"{provenance.title}, {self.config.label}, protocol {provenance.protocol}, seed {provenance.seed}"
        subject += ", sealed" if provenance.seal else ""
        if self.diverged:
            return visible(f"{subject}: no score, {len(self.diverged)} of {len(self.curves)} runs diverged")
        failed = f", fails {', '.join(self.failed_audits)}" if self.failed_findings else ""
        if self.why_no_score:
            return visible(f"{subject}: no score{failed}")
        metrics = self.metrics
        accuracy = f"accuracy {metrics.test_accuracy:.6f} ± {metrics.test_accuracy_std:.6f}"
        return visible(f"{subject}: {accuracy}, {metrics.mean_steps:,.0f} steps, {metrics.num_runs} runs{failed}")

    @property
    def failed_findings(self) -> list[AuditFinding]:
        return [finding for finding in self.findings if finding.passed is False]

    def described(self, finding: AuditFinding) -> str:
        """Returns a finding's name and summary; under a seal the name alone, since a summary may tell of one secret."""
        return finding.name if self.provenance.seal else f"{finding.name}: {finding.summary}"

    @property
    def failed_audits(self) -> list[str]:
        """Names of the failed audits."""
        return [finding.name for finding in self.failed_findings]

    @property
    def why_no_score(self) -> DivergedError | AuditFailedError | None:
        """The error that explains a missing score (a run diverged, or a strict audit failed), or None."""
        subject = f"{self.provenance.strategy} with seed {self.provenance.seed} has no score"
        if self.diverged:
            named = [] if self.provenance.seal else self.diverged[:_MOST_RUNS_NAMED]  # each tells of one secret
            runs = ", ".join(f"secret={run.secret_index} order={run.order_index} (step {run.step})" for run in named)
            if named and (left_out := len(self.diverged) - len(named)) > 0:
                runs += f" and {left_out} more"
            return DivergedError(
                f"{subject}: expected finite losses, got {len(self.diverged)} diverged of "
                f"{len(self.diverged) + len(self.results)} runs{f': {runs}' if runs else ''}"
            )
        if self.provenance.audit == "strict" and self.failed_findings:
            return AuditFailedError(f"{subject}: {'; '.join(map(self.described, self.failed_findings))}")
        return None

    @property
    def metrics(self) -> Metrics:
        """The metrics over all runs.

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
        # `api` attaches these: frames and reports import evaluations, not the reverse.
        def to_dataframe(self, /, what: Literal["runs", "curves"] = "runs") -> "pd.DataFrame": ...

        def _repr_html_(self, /) -> str: ...


def listed(evaluations: Evaluation | Iterable[Evaluation]) -> list[Evaluation]:
    """Returns one evaluation or several, as given by a caller, as a list.

    Raises:
        UsageError: An argument or an element is not an evaluation.
    """
    is_several = isinstance(evaluations, Iterable) and not isinstance(evaluations, str)
    elements: list[Any] = list(evaluations) if is_several else [evaluations]  # type: ignore[arg-type]
    for element in elements:
        if not isinstance(element, Evaluation):
            raise UsageError(f"expected evaluations (as evaluate returns them), got {element!r}")
    return elements
