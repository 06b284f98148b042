"""The benchmark's ranking of strategies: by test accuracy over its three configurations, then by steps."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from itertools import groupby

from vecparity.analysis.intervals import Interval, interval
from vecparity.analysis.leaderboard import Leaderboard, League
from vecparity.analysis.standings import ConfigurationFigures, Standing, means
from vecparity.errors import UsageError
from vecparity.evaluation.result import Evaluation, listed
from vecparity.evaluation.summary import Summary, summarize, why_unverified
from vecparity.history.reproduction import auditing_command
from vecparity.task.config import CONFIGURATIONS


@dataclass
class RankedSource:
    """One source with its parameters in a league.

    Attributes:
        newest: The newest evaluation, whose name it has.
        counting: The evaluations that count, by configuration and seed.
        failed_audits: Names of the audits that any recorded evaluation failed, whether it counts or not.
    """

    newest: Summary
    counting: dict[tuple[str, int], Summary] = field(default_factory=dict)
    failed_audits: list[str] = field(default_factory=list)

    @property
    def strategy(self) -> str:
        """Its newest name, with the parameters."""
        return self.newest.title

    def add(self, summary: Summary, seeds: Sequence[int] | None) -> None:
        """Adds the next newer evaluation, which replaces an older one of the same configuration and seed.

        An unaudited evaluation does not undo what audits decided about an older one: that its score is verified, or
        withheld.
        """
        self.newest = summary
        if summary.failed_audits:
            self.failed_audits = sorted({*self.failed_audits, *summary.failed_audits})
        key = summary.label, summary.seed
        older = self.counting.get(key)
        is_undoing = older is not None and _is_decided(older) and summary.audit == "off"
        if (not seeds or summary.seed in seeds) and not is_undoing:
            self.counting[key] = summary


def leaderboard(
    evaluations: Iterable[Evaluation | Summary], league: League | None = None, seeds: Sequence[int] | None = None
) -> Leaderboard:
    """Ranks strategies by mean test accuracy over the three configurations, then by the fewest mean steps.

    Each entry is one source with its parameters. It is complete if some seeds were evaluated on all three
    configurations; it then has the runs of these seeds. It is verified if each of their scores is sealed, or is under
    public seeds and all `DECIDING` audits decided and were passed. The ranked strategies, which are complete and
    verified, come first; then complete strategies that are unverified, by the same figures; then complete strategies
    that failed an audit in any of the evaluations; then incomplete strategies (more configurations first); then
    strategies without a score.

    Args:
        evaluations: Any evaluations or their summaries, oldest first. For one source, configuration and seed, the
            newest counts, unless it was not audited and audits verified or withheld an older one's score. Other
            leagues' evaluations are ignored.
        league: The league to rank; by default that of the newest evaluation that is in any.
        seeds: The top-level seeds that count; by default all.

    Returns:
        The standings, best first.

    Raises:
        UsageError: An argument is not an evaluation; or no league is given, and no evaluation is in one.
    """
    candidates = _summaries(evaluations)
    league = league or next((found for summary in reversed(candidates) if (found := league_of(summary))), None)
    if league is None:
        expected = f"one of {', '.join(CONFIGURATIONS)} with no setting overridden"
        raise UsageError(f"expected an evaluation that can be ranked ({expected}), got {len(candidates)} that cannot")
    ranking = entries(candidates, league, seeds)
    names = [entry.strategy for entry in ranking]
    standings = _ranked([_standing(entry, is_alone=names.count(entry.strategy) == 1) for entry in ranking])
    return Leaderboard(standings, league)


def _summaries(evaluations: Iterable[Evaluation | Summary]) -> list[Summary]:
    if isinstance(evaluations, Iterable):
        evaluations = list(evaluations)
        if all(isinstance(each, Summary) for each in evaluations):
            return evaluations  # type: ignore[return-value]
    return [summarize(evaluation) for evaluation in listed(evaluations)]  # type: ignore[arg-type]


def _standing(entry: RankedSource, *, is_alone: bool) -> Standing:
    problems = [problem for summary in entry.counting.values() if (problem := summary.why_no_score)]
    scored, is_complete = _scored(entry)
    has_place = is_complete and not problems
    everything = [summary for on_one in scored.values() for summary in on_one]
    samples = [_accuracies(on_one) for on_one in scored.values()]
    # All are of one league: under a seal, or none is.
    verified = everything[0].verified if everything and all(summary.verified for summary in everything) else None
    seeds = sorted({summary.seed for summary in everything})
    is_unverified = bool(everything) and not verified and not entry.failed_audits
    return Standing(
        rank=None,
        strategy=entry.strategy if is_alone else f"{entry.strategy} ({entry.newest.strategy_sha256[:8]})",
        sha256=entry.newest.strategy_sha256,
        configurations={label: figures_of(on_one) for label, on_one in scored.items()},
        accuracy=_accuracy(everything) if has_place else None,
        interval=_of_accuracies(samples) if has_place else None,
        mean_steps=_mean_steps(everything) if has_place else None,
        failed_audits=entry.failed_audits,
        lacks=None if problems or is_complete else _missing(scored),
        why_no_score=problems[0] if problems else None,
        params=entry.newest.params,
        verified=None if entry.failed_audits else verified,
        why_unverified=why_unverified(everything) if is_unverified else None,
        verify_with=auditing_command(entry.newest, seeds) if is_unverified else None,
    )


def _missing(scored: Mapping[str, Sequence[Summary]]) -> str:
    missing = [label for label in CONFIGURATIONS if label not in scored]
    if missing:
        return f"no evaluation of {', '.join(missing)} (vecparity eval --all-configs makes all)"
    return "no seed under which all configurations were evaluated"


def _scored(entry: RankedSource) -> tuple[dict[str, list[Summary]], bool]:
    """Returns the evaluations with a score, by configuration and ascending seed, and whether the entry is complete.

    A complete entry's evaluations are those of the seeds that all configurations have.
    """
    by_label: dict[str, dict[int, Summary]] = {label: {} for label in CONFIGURATIONS}
    for (label, seed), summary in sorted(entry.counting.items(), key=lambda item: item[0]):
        if not summary.why_no_score:
            by_label[label][seed] = summary
    by_label = {label: seeds for label, seeds in by_label.items() if seeds}
    common = set.intersection(*(set(seeds) for seeds in by_label.values())) if by_label else set()
    is_complete = len(by_label) == len(CONFIGURATIONS) and bool(common)
    return {
        label: [summary for seed, summary in seeds.items() if not is_complete or seed in common]
        for label, seeds in by_label.items()
    }, is_complete


def figures_of(summaries: Sequence[Summary]) -> ConfigurationFigures:
    """Returns one strategy's figures on one configuration; each of the summaries has a score and a seed of its own."""
    return ConfigurationFigures(
        accuracy=_accuracy(summaries),
        interval=_of_accuracies([_accuracies(summaries)]),
        mean_steps=_mean_steps(summaries),
        num_runs=sum(summary.num_runs for summary in summaries),
        seeds=[summary.seed for summary in summaries],
    )


def _accuracy(summaries: Sequence[Summary]) -> float:
    """Returns the mean as `Evaluation.metrics` does: equal totals give equal means, whichever values make them up."""
    parts = (part for each in summaries for part in (*each.accuracy_sums, *each.accuracy_remainders))
    return math.fsum(parts) / sum(summary.num_runs for summary in summaries)


def _mean_steps(summaries: Sequence[Summary]) -> float:
    return sum(total for each in summaries for total in each.step_sums) / sum(each.num_runs for each in summaries)


def _accuracies(summaries: Sequence[Summary]) -> list[float]:
    """Returns one accuracy for each secret."""
    return [accuracy for summary in summaries for accuracy in summary.accuracies]


def _of_accuracies(samples: Sequence[Sequence[float]]) -> Interval | None:
    """Returns the interval of the mean of the samples' means."""
    mean_interval = interval(samples, [1 / len(samples)] * len(samples))
    return mean_interval and mean_interval.within(0.0, 1.0)


def _ranked(standings: Iterable[Standing]) -> list[Standing]:
    ranked: list[Standing] = []
    for key, group in groupby(sorted(standings, key=lambda entry: (_key(entry), entry.strategy)), _key):
        rank = 1 + len(ranked) if key[0] == 0 else None
        ranked += [replace(standing, rank=rank) for standing in group]
    return ranked


def _key(standing: Standing) -> tuple[int, int, float, float]:
    """Returns the sort key: obstacles to a rank, then the number of configurations, then the figures."""
    if standing.accuracy is not None and standing.mean_steps is not None:
        obstacle = 2 if standing.failed_audits else 0 if standing.verified else 1
        return obstacle, 0, -standing.accuracy, standing.mean_steps
    accuracy, steps = means(standing.configurations) if standing.configurations else (0.0, 0.0)
    return 4 if standing.why_no_score else 3, -len(standing.configurations), -accuracy, steps


def league_of(summary: Summary) -> League | None:
    """Returns the league in which an evaluation ranks, or None if its settings are not those of a protocol."""
    if summary.protocol is None:
        return None
    return League(summary.protocol, summary.seal, summary.dtype, summary.init_device)


def entries(summaries: Iterable[Summary], league: League, seeds: Sequence[int] | None) -> list[RankedSource]:
    """Groups a league's evaluations by source and parameters.

    Args:
        summaries: Any evaluations' summaries, oldest first.
        league: The league; other leagues' evaluations are ignored.
        seeds: Top-level seeds that count; None or an empty sequence for all.

    Returns:
        The sources with at least one evaluation that counts.
    """
    sources: dict[tuple[str, str], RankedSource] = {}
    conditions = astuple(league)
    for summary in summaries:
        if (summary.protocol, summary.seal, summary.dtype, summary.init_device) == conditions:
            identity = summary.identity
            entry = sources.get(identity)
            if entry is None:
                entry = sources[identity] = RankedSource(summary)
            entry.add(summary, seeds)
    return [entry for entry in sources.values() if entry.counting]


def _is_decided(summary: Summary) -> bool:
    """Returns True if audits decided about a score: a strict one withheld it, or all of them were passed."""
    return summary.verified == "audited" or (summary.audit == "strict" and bool(summary.failed_audits))
