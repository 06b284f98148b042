"""Places of strategies in a ranking, as `ranking` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import fmean

from vecparity.analysis.intervals import Interval
from vecparity.evaluation.params import Params
from vecparity.evaluation.summary import Verified

# Decimals of an evaluation's accuracy.
DIGITS = 4


@dataclass(frozen=True)
class ConfigurationFigures:
    """One strategy's figures on one configuration, over all its seeds.

    Attributes:
        accuracy: Mean test accuracy.
        interval: 95% interval of the accuracy, or None if the secrets do not differ from each other or are too few.
        mean_steps: Mean steps until a run stopped.
        num_runs: Number of runs over all seeds.
        seeds: Top-level seeds, ascending.
        as_published: Accuracy and steps with the digits of a published result; None for an evaluation's.
    """

    accuracy: float
    interval: Interval | None
    mean_steps: float
    num_runs: int
    seeds: list[int]
    as_published: tuple[str, str] | None = None

    @property
    def text(self) -> str:
        """Accuracy and steps for people; a published result has its own digits."""
        accuracy, steps = self.as_published or (f"{self.accuracy:.{DIGITS}f}", f"{self.mean_steps:.0f}")
        return f"{accuracy} / {Decimal(steps):,}"


@dataclass(frozen=True)
class Standing:
    """One strategy's place.

    Attributes:
        rank: From 1, shared by strategies with the same figures; None if the strategy is unverified, lacks a
            configuration or a score, or failed an audit.
        strategy: Its name and parameters, with the first digits of its source's digest if another source has the same.
        sha256: Digest of the source, or None for a published result.
        configurations: Figures of the configurations with a score, by label.
        accuracy: Mean over all runs on the three configurations, or None if incomplete or without a score.
        interval: 95% interval of the accuracy, as for each configuration.
        mean_steps: Mean over all runs on the three configurations, or None if incomplete or without a score.
        failed_audits: Names of the audits that any of its evaluations failed.
        lacks: The evaluations that are missing for a rank, if any.
        why_no_score: Why one of its evaluations has no score, if any has none.
        is_published: True for a published result, which is shown beside the others.
        params: Values of its keyword parameters.
        verified: The seal or the audits that verify all of its scores; None if nothing does, an audit failed, or it has
            none.
        why_unverified: The audits that did not decide about some of its scores; None if it is verified or failed one.
        verify_with: The command that has them decide, where ``why_unverified`` names some.
    """

    rank: int | None
    strategy: str
    sha256: str | None
    configurations: dict[str, ConfigurationFigures]
    accuracy: float | None
    interval: Interval | None
    mean_steps: float | None
    failed_audits: list[str]
    lacks: str | None = None
    why_no_score: str | None = None
    is_published: bool = False
    params: Params = field(default_factory=dict)
    verified: Verified | None = None
    why_unverified: str | None = None
    verify_with: str | None = None

    @property
    def seeds(self) -> list[int]:
        """The seeds of all configurations, ascending."""
        return sorted({seed for figures in self.configurations.values() for seed in figures.seeds})

    @property
    def accuracy_text(self) -> str | None:
        """The mean accuracy for people, with no more digits than a published result has."""
        return None if self.accuracy is None else f"{self.accuracy:.{self._digits}f}"

    @property
    def place(self) -> str:
        """The rank, or the reasons why there is none."""
        if self.is_published:
            return "published"
        against = ["no score"] if self.why_no_score else []
        against += ["incomplete"] if self.lacks else []
        against += ["unverified"] if self.why_unverified else []
        against += [f"fails {', '.join(self.failed_audits)}"] if self.failed_audits else []
        return "; ".join(against) or str(self.rank or "")

    @property
    def why_no_rank(self) -> str:
        """The sentence about what a rank takes; empty if there is a rank, or none to be had."""
        if self.why_no_score:
            return f"no rank: {self.why_no_score}"
        lacking = [self.lacks] if self.lacks else []
        lacking += [f"{self.why_unverified} ({self.verify_with} verifies it)"] if self.why_unverified else []
        return f"no rank: {self.strategy}: {'; '.join(lacking)}" if lacking else ""

    @property
    def _digits(self) -> int:
        published = [figures.as_published[0] for figures in self.configurations.values() if figures.as_published]
        return min((len(accuracy.partition(".")[2]) for accuracy in published), default=DIGITS)


def means(configurations: Mapping[str, ConfigurationFigures]) -> tuple[float, float]:
    """Returns the means of accuracy and steps over the given configurations, equally weighted."""
    figures = configurations.values()
    return fmean(configuration.accuracy for configuration in figures), fmean(
        configuration.mean_steps for configuration in figures
    )
