"""One strategy's place on a leaderboard."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from vecparity.spec import CONFIGURATIONS
from vecparity.workbench.intervals import Interval


@dataclass(frozen=True)
class ConfigurationFigures:
    """One strategy on one configuration, all its seeds together.

    Attributes:
        accuracy: Mean test accuracy.
        interval: Where that is believed to be (95%), or None where nothing is known of it.
        mean_steps: Until runs stopped.
        num_runs: Of all seeds.
        seeds: Top-level seeds, ascending.
    """

    accuracy: float
    interval: Interval | None
    mean_steps: float
    num_runs: int
    seeds: list[int]


@dataclass(frozen=True)
class Standing:
    """One strategy's place.

    Attributes:
        rank: From 1, shared by strategies with the same figures; None for what is not ranked.
        strategy: Its name, with the beginning of its source's digest where another source has the same name.
        sha256: Digest of the source, or None for a published result.
        configurations: By label, those with a score.
        accuracy: Mean over the three configurations, or None where it is not to be ranked.
        interval: Where that is believed to be (95%).
        mean_steps: Mean over the three configurations, likewise.
        why_no_score: What one of its evaluations has instead of a score.
        is_published: Whether it is a published result, which is shown beside the others.
    """

    rank: int | None
    strategy: str
    sha256: str | None
    configurations: dict[str, ConfigurationFigures]
    accuracy: float | None
    interval: Interval | None
    mean_steps: float | None
    why_no_score: str | None = None
    is_published: bool = False

    @property
    def seeds(self) -> list[int]:
        """Of all configurations, ascending."""
        return sorted({seed for figures in self.configurations.values() for seed in figures.seeds})


def overall(configurations: Mapping[str, ConfigurationFigures]) -> tuple[float, float] | None:
    """Returns the means of accuracy and steps over the benchmark's configurations, or None where one is missing."""
    return means(configurations) if configurations.keys() == CONFIGURATIONS.keys() else None


def means(configurations: Mapping[str, ConfigurationFigures]) -> tuple[float, float]:
    """Returns the means of accuracy and steps over those that there are, each counting the same."""
    figures = configurations.values()
    return fmean(each.accuracy for each in figures), fmean(each.mean_steps for each in figures)
