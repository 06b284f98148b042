"""Strategies ranked as the benchmark ranks them: by test accuracy over its three configurations, then by steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean

from vecparity.errors import UsageError
from vecparity.evaluation import Evaluation
from vecparity.spec import CONFIGURATIONS, Protocol, protocol_of
from vecparity.workbench.by_secret import by_secret
from vecparity.workbench.intervals import Interval, interval
from vecparity.workbench.standing import ConfigurationFigures, Standing, means, overall

# One source's evaluations, by configuration and seed.
_Entry = Mapping[tuple[str, int], Evaluation]


@dataclass(frozen=True)
class League:
    """What is ranked together: evaluations with the same settings whose secrets were drawn alike.

    Attributes:
        protocol: Whose settings they have, with none overridden.
        seal: Digest of their seal, or None for public seeds.
    """

    protocol: Protocol
    seal: str | None


def league_of(evaluation: Evaluation) -> League | None:
    """Returns what an evaluation ranks in, or None where its settings are no protocol's."""
    protocol = protocol_of(evaluation.config)
    return None if protocol is None else League(protocol, evaluation.provenance.seal)


def leaderboard(evaluations: Iterable[Evaluation], league: League | None = None) -> list[Standing]:
    """Ranks strategies by mean test accuracy over the three configurations, then by the fewest mean steps.

    An entry is one source; its seeds are pooled. Below the ranked stand strategies that lack a configuration (those
    with more of them first), and below those the ones that have an evaluation without a score.

    Args:
        evaluations: Any, oldest first: of one source, configuration and seed the newest counts. Those of other leagues
            are left out.
        league: What to rank; by default that of the newest evaluation that is in any.

    Returns:
        The best first.

    Raises:
        UsageError: No league is given, and none of the evaluations is in one.
    """
    placed = [(league_of(evaluation), evaluation) for evaluation in evaluations]
    league = league or next((found for found, _ in reversed(placed) if found), None)
    if league is None:
        expected = f"one of {', '.join(CONFIGURATIONS)} with no setting overridden"
        raise UsageError(f"expected an evaluation that ranks ({expected}), got {len(placed)} that do not")
    names: dict[str, str] = {}
    entries: dict[str, dict[tuple[str, int], Evaluation]] = {}
    for found, evaluation in placed:
        if found == league:
            made = evaluation.provenance
            names[made.strategy_sha256] = made.strategy
            entries.setdefault(made.strategy_sha256, {})[evaluation.config.label, made.seed] = evaluation
    return _ranked([_standing(_told_apart(sha256, names), sha256, entry) for sha256, entry in entries.items()])


def _told_apart(sha256: str, names: Mapping[str, str]) -> str:
    name = names[sha256]
    return f"{name} ({sha256[:8]})" if list(names.values()).count(name) > 1 else name


def _standing(name: str, sha256: str, entry: _Entry) -> Standing:
    problems = [problem for evaluation in entry.values() if (problem := evaluation.why_no_score)]
    figures: dict[str, ConfigurationFigures] = {}
    samples: list[list[float]] = []
    for label in CONFIGURATIONS:
        scored = [
            evaluation
            for (configuration, _), evaluation in sorted(entry.items(), key=lambda item: item[0])
            if configuration == label and not evaluation.why_no_score
        ]
        if scored:
            secrets = by_secret(scored).values()
            samples.append([secret.accuracy for secret in secrets])
            figures[label] = ConfigurationFigures(
                accuracy=fmean(samples[-1]),
                interval=_of_accuracies(samples[-1:]),
                mean_steps=fmean(secret.steps for secret in secrets),
                num_runs=sum(len(evaluation.results) for evaluation in scored),
                seeds=[evaluation.provenance.seed for evaluation in scored],
            )
    accuracy, steps = (None if problems else overall(figures)) or (None, None)
    return Standing(
        rank=None,
        strategy=name,
        sha256=sha256,
        configurations=figures,
        accuracy=accuracy,
        interval=None if accuracy is None else _of_accuracies(samples),
        mean_steps=steps,
        why_no_score=str(problems[0]) if problems else None,
    )


def _of_accuracies(samples: Sequence[Sequence[float]]) -> Interval | None:
    """The interval of the mean over samples of their means."""
    made = interval(samples, [1 / len(samples)] * len(samples))
    return made and made.within(0.0, 1.0)


def _ranked(standings: Iterable[Standing]) -> list[Standing]:
    made: list[Standing] = []
    for key, group in groupby(sorted(standings, key=lambda each: (_key(each), each.strategy)), _key):
        rank = 1 + len(made) if key[0] == 0 else None
        made += [replace(standing, rank=rank) for standing in group]
    return made


def _key(standing: Standing) -> tuple[int, int, float, float]:
    """What standings are ordered by: first whether they have a score, then how many configurations, then figures."""
    configurations = standing.configurations
    accuracy, steps = means(configurations) if configurations else (0.0, 0.0)
    lacking = len(CONFIGURATIONS) - len(configurations)
    return 2 if standing.why_no_score else int(lacking > 0), lacking, -accuracy, steps
