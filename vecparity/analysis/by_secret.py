"""One strategy's figures for each secret: the units of comparisons and leaderboards."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from vecparity.evaluation.result import Evaluation


@dataclass(frozen=True)
class SecretFigures:
    """Means over one secret's orderings."""

    accuracy: float
    steps: float


# The seed of a secret's evaluation, the secret's index, and the evaluation's seal and draw, empty for public seeds.
SecretKey = tuple[int, int, str, str]
BySecret = dict[SecretKey, SecretFigures]


def by_secret(evaluations: Sequence[Evaluation]) -> BySecret:
    """Pools evaluations of one strategy under several seeds. Each seed, seal and draw has its own secrets.

    Args:
        evaluations: One for each seed, all with the same settings.

    Returns:
        The figures, ascending by the secrets' keys.

    Raises:
        DivergedError: A run diverged: there is no score.
        AuditFailedError: A strict audit failed: there is no score.
    """
    runs: dict[SecretKey, list[tuple[float, int]]] = {}
    for evaluation in evaluations:
        if problem := evaluation.why_no_score:
            raise problem
        for run in evaluation.results:
            provenance = evaluation.provenance
            key = provenance.seed, run.secret_index, provenance.seal or "", provenance.draw or ""
            runs.setdefault(key, []).append((run.test_accuracy, run.steps))
    return {
        key: SecretFigures(fmean(accuracy for accuracy, _ in ends), fmean(steps for _, steps in ends))
        for key, ends in sorted(runs.items())
    }
