"""Summary of an evaluation: all that ranking reads of it, in a few hundred bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from vecparity.audits.finding import DECIDING
from vecparity.audits.mode import AuditMode
from vecparity.errors import brief
from vecparity.evaluation.coherence import MOST_CHARACTERS, require_line
from vecparity.evaluation.params import Params, check_params, identity, title
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import Protocol, protocol_of

# What verifies a score: secrets that nobody could know, or audits that all decided and were passed.
Verified = Literal["sealed", "audited"]


@dataclass(frozen=True)
class Summary:
    """All that ranking reads of an evaluation.

    Attributes:
        strategy: The strategy's name.
        strategy_sha256: Digest of the strategy's source.
        params: Values of the strategy's keyword parameters.
        seed: The top-level seed.
        label: N and K.
        protocol: The protocol with exactly these settings, or None if there is none.
        seal: Digest of the key of a sealed evaluation, or None.
        dtype: Type of parameters, moments and gradients.
        init_device: Device on which ``init_model`` drew.
        audit: The audit mode.
        failed_audits: Names of the failed audits.
        why_no_score: The sentence that explains a missing score, or None.
        num_runs: Number of runs that were tested.
        accuracy_sums: For each secret, the sum of its orderings' test accuracies, rounded once. Empty without a score.
        accuracy_remainders: For each secret, what the sum was rounded by, so that means over all runs are those of
            `Evaluation.metrics`. Empty if all are 0, as for test sets of 2^14 rows.
        step_sums: For each secret, the sum of its orderings' steps. Empty without a score.
        undecided_audits: Names of the `DECIDING` audits that were not made or are undecided; empty under a seal. None
            in a summary that an earlier version recorded.
    """

    strategy: str
    strategy_sha256: str
    params: Params
    seed: int
    label: str
    protocol: Protocol | None
    seal: str | None
    dtype: str
    init_device: str
    audit: AuditMode
    failed_audits: list[str]
    why_no_score: str | None
    num_runs: int
    accuracy_sums: list[float]
    accuracy_remainders: list[float]
    step_sums: list[int]
    undecided_audits: list[str] | None = None

    @property
    def verified(self) -> Verified | None:
        """The seal or the audits that verify the score; None if nothing does, or an audit failed."""
        if self.failed_audits or self.why_no_score:
            return None
        if self.seal is not None:
            return "sealed"
        return "audited" if self.undecided_audits == [] else None

    @property
    def title(self) -> str:
        return title(self.strategy, self.params)

    @property
    def identity(self) -> tuple[str, str]:
        return identity(self.strategy_sha256, self.params)

    @property
    def accuracies(self) -> list[float]:
        """Mean test accuracy of each secret."""
        num_orderings = self.num_runs // len(self.accuracy_sums)
        return [total / num_orderings for total in self.accuracy_sums]


def summarize(evaluation: Evaluation) -> Summary:
    """Returns the summary of an evaluation."""
    provenance, problem = evaluation.provenance, evaluation.why_no_score
    by_secret = groupby([] if problem else evaluation.results, lambda run: run.secret_index)
    runs = [list(orderings) for _, orderings in by_secret]
    accuracies = [[run.test_accuracy for run in orderings] for orderings in runs]
    sums = [math.fsum(each) for each in accuracies]
    remainders = [math.fsum([*each, -total]) for each, total in zip(accuracies, sums, strict=True)]
    return Summary(
        strategy=provenance.strategy,
        strategy_sha256=provenance.strategy_sha256,
        params=provenance.params,
        seed=provenance.seed,
        label=evaluation.config.label,
        protocol=protocol_of(evaluation.config),
        seal=provenance.seal,
        dtype=provenance.dtype,
        init_device=provenance.init_device,
        audit=provenance.audit,
        failed_audits=evaluation.failed_audits,
        why_no_score=str(problem)[:MOST_CHARACTERS] if problem else None,
        num_runs=len(evaluation.results),
        accuracy_sums=sums,
        accuracy_remainders=remainders if any(remainders) else [],
        step_sums=[sum(run.steps for run in orderings) for orderings in runs],
        undecided_audits=_undecided_audits(evaluation),
    )


def verification(evaluation: Evaluation) -> str:
    """Says what verifies an evaluation's score, or why nothing does; empty if it failed an audit or has no score."""
    summary = summarize(evaluation)
    if summary.failed_audits or summary.why_no_score:
        return ""
    return f"verified ({summary.verified})" if summary.verified else f"unverified ({why_unverified([summary])})"


def why_unverified(summaries: Sequence[Summary]) -> str:
    """Names the audits that did not decide about some of the evaluations."""
    if any(summary.undecided_audits is None for summary in summaries):
        return "audits unknown: recorded by an earlier version"
    lacking = {name for summary in summaries for name in summary.undecided_audits or []}
    if lacking.issuperset(DECIDING):
        return "not audited"
    return f"audits not made or undecided: {', '.join(name for name in DECIDING if name in lacking)}"


def _undecided_audits(evaluation: Evaluation) -> list[str]:
    if evaluation.provenance.seal is not None:
        return []
    decided = {finding.name for finding in evaluation.findings if finding.passed is not None}
    undecided = {finding.name for finding in evaluation.findings if finding.passed is None}
    return [name for name in DECIDING if name not in decided or name in undecided]


def check_summary(summary: Summary) -> None:
    """Checks a summary that comes from a file.

    Raises:
        ValueError: Some parts disagree, or a text cannot be shown.
    """
    texts = (summary.strategy, summary.label, summary.why_no_score or "", *summary.failed_audits)
    texts += tuple(summary.undecided_audits or ())
    joint = "".join(texts)
    if len(joint) > MOST_CHARACTERS or not joint.isprintable():  # one by one only if need be: there may be 100 000
        for text in texts:
            require_line(text)
    if summary.params:
        check_params(summary.params)
    sums, remainders, steps = summary.accuracy_sums, summary.accuracy_remainders, summary.step_sums
    if len(steps) != len(sums) or len(remainders) not in (0, len(sums)) or bool(sums) == bool(summary.why_no_score):
        actual = f"{len(sums)} sums of accuracies, {len(remainders)} remainders and {len(steps)} sums of steps"
        raise ValueError(f"expected accuracies and steps of every secret, or none without a score, got {actual}")
    if sums and (summary.num_runs < len(sums) or summary.num_runs % len(sums)):
        raise ValueError(f"expected equally many runs of each of {len(sums)} secrets, got {summary.num_runs} runs")
    if sums and not (min(sums) >= 0 and max(sums) <= summary.num_runs and min(steps) >= 0):
        expected = f"sums of accuracies from 0 to {summary.num_runs}, and of steps of at least 0"
        raise ValueError(f"expected {expected}, got {brief(sums)} and {brief(steps)}")
    if not all(map(math.isfinite, remainders)):
        raise ValueError(f"expected finite remainders, got {brief(remainders)}")
