"""Strategies ranked as the benchmark ranks them: by test accuracy over its three configurations, then by steps."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from vecparity.errors import UsageError
from vecparity.evaluation.result import Evaluation, listed
from vecparity.task.config import CONFIGURATIONS
from vecparity.workbench.by_secret import by_secret
from vecparity.workbench.intervals import Interval, interval
from vecparity.workbench.league import Entry, League, entries, league_of
from vecparity.workbench.standing import ConfigurationFigures, Standing, means


def leaderboard(
    evaluations: Iterable[Evaluation], league: League | None = None, seeds: Sequence[int] | None = None
) -> list[Standing]:
    """Ranks strategies by mean test accuracy over the three configurations, then by the fewest mean steps.

    An entry is one source. It is complete where it has a seed on all three configurations, and then has the runs of
    those seeds. Below the ranked stand complete strategies that failed an audit in any of the evaluations, below those
    incomplete ones (those with more configurations first), and below those the ones without a score.

    Args:
        evaluations: Any, oldest first: of one source, configuration and seed the newest counts, unless it was not
            audited and a strict audit took an older one's score. Those of other leagues are left out.
        league: What to rank; by default that of the newest evaluation that is in any.
        seeds: The top-level seeds that count; by default all.

    Returns:
        The best first.

    Raises:
        UsageError: Something else than evaluations; or no league is given, and none of the evaluations is in one.
    """
    given = listed(evaluations)
    league = league or next((found for evaluation in reversed(given) if (found := league_of(evaluation))), None)
    if league is None:
        expected = f"one of {', '.join(CONFIGURATIONS)} with no setting overridden"
        raise UsageError(f"expected an evaluation that ranks ({expected}), got {len(given)} that do not")
    ranking = entries(given, league, seeds)
    names = [entry.strategy for entry in ranking]
    return _ranked([_standing(entry, is_alone=names.count(entry.strategy) == 1) for entry in ranking])


def _standing(entry: Entry, *, is_alone: bool) -> Standing:
    problems = [problem for evaluation in entry.counting.values() if (problem := evaluation.why_no_score)]
    scored, is_complete = _scored(entry)
    has_place = is_complete and not problems
    runs = [run for on_one in scored.values() for evaluation in on_one for run in evaluation.results]
    samples = [_accuracies(on_one) for on_one in scored.values()]
    return Standing(
        rank=None,
        strategy=entry.strategy if is_alone else f"{entry.strategy} ({entry.sha256[:8]})",
        sha256=entry.sha256,
        configurations={label: _figures(on_one) for label, on_one in scored.items()},
        accuracy=_mean([run.test_accuracy for run in runs]) if has_place else None,
        interval=_of_accuracies(samples) if has_place else None,
        mean_steps=_mean([run.steps for run in runs]) if has_place else None,
        failed_audits=entry.failed_audits,
        lacks=None if problems or is_complete else _missing(scored),
        why_no_score=str(problems[0]) if problems else None,
    )


def _missing(scored: Mapping[str, Sequence[Evaluation]]) -> str:
    missing = [label for label in CONFIGURATIONS if label not in scored]
    if missing:
        return f"no evaluation of {', '.join(missing)} (vecparity eval --all-configs makes all)"
    return "no seed that all configurations were evaluated under"


def _scored(entry: Entry) -> tuple[dict[str, list[Evaluation]], bool]:
    """What has a score, by configuration and ascending by seed, and whether it is complete, with common seeds alone."""
    by_label: dict[str, dict[int, Evaluation]] = {}
    for label in CONFIGURATIONS:
        for (configuration, seed), evaluation in sorted(entry.counting.items(), key=lambda item: item[0]):
            if configuration == label and not evaluation.why_no_score:
                by_label.setdefault(label, {})[seed] = evaluation
    common = set.intersection(*(set(seeds) for seeds in by_label.values())) if by_label else set()
    is_complete = len(by_label) == len(CONFIGURATIONS) and bool(common)
    return {
        label: [evaluation for seed, evaluation in seeds.items() if not is_complete or seed in common]
        for label, seeds in by_label.items()
    }, is_complete


def _figures(evaluations: Sequence[Evaluation]) -> ConfigurationFigures:
    runs = [run for evaluation in evaluations for run in evaluation.results]
    return ConfigurationFigures(
        accuracy=_mean([run.test_accuracy for run in runs]),
        interval=_of_accuracies([_accuracies(evaluations)]),
        mean_steps=_mean([run.steps for run in runs]),
        num_runs=len(runs),
        seeds=[evaluation.provenance.seed for evaluation in evaluations],
    )


def _mean(values: Sequence[float]) -> float:
    """As `Evaluation.metrics` has it: the same total is the same mean, whichever runs it is made of."""
    return math.fsum(values) / len(values)


def _accuracies(evaluations: Sequence[Evaluation]) -> list[float]:
    """One a secret."""
    return [secret.accuracy for secret in by_secret(evaluations).values()]


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
    """What standings are ordered by: what speaks against a rank, then how many configurations, then figures."""
    if standing.accuracy is not None and standing.mean_steps is not None:
        return int(bool(standing.failed_audits)), 0, -standing.accuracy, standing.mean_steps
    accuracy, steps = _means(standing.configurations)
    return 3 if standing.why_no_score else 2, -len(standing.configurations), -accuracy, steps


def _means(configurations: Mapping[str, ConfigurationFigures]) -> tuple[float, float]:
    return means(configurations) if configurations else (0.0, 0.0)
