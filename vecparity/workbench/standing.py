"""One strategy's place on a leaderboard."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from vecparity.workbench.intervals import Interval


@dataclass(frozen=True)
class ConfigurationFigures:
    """One strategy on one configuration, all its seeds together.

    Attributes:
        accuracy: Mean test accuracy.
        interval: Where that is believed to be (95%), or None where nothing is known of it: no secret differs from
            another, or they are too few.
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
        rank: From 1, shared by strategies with the same figures; None for what is not ranked: what lacks a
            configuration or a score, or failed an audit.
        strategy: Its name, with the beginning of its source's digest where another source has the same name.
        sha256: Digest of the source, or None for a published result.
        configurations: By label, those with a score.
        accuracy: Mean over all runs on the three configurations, or None where it is incomplete or has no score.
        interval: Where that is believed to be (95%), as each configuration's.
        mean_steps: Mean over all runs on the three configurations, or None likewise.
        failed_audits: Names of the audits that any of its evaluations failed.
        lacks: What it has to have for a rank, if something is missing.
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
    failed_audits: list[str]
    lacks: str | None = None
    why_no_score: str | None = None
    is_published: bool = False

    @property
    def seeds(self) -> list[int]:
        """Of all configurations, ascending."""
        return sorted({seed for figures in self.configurations.values() for seed in figures.seeds})


def means(configurations: Mapping[str, ConfigurationFigures]) -> tuple[float, float]:
    """Returns the means of accuracy and steps over the configurations that there are, each counting the same."""
    figures = configurations.values()
    return fmean(each.accuracy for each in figures), fmean(each.mean_steps for each in figures)
