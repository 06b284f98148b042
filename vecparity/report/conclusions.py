"""A report's conclusions: the verdict in words, and comparisons with the first strategy."""

from collections.abc import Sequence
from dataclasses import dataclass

from vecparity.analysis.comparing import compare
from vecparity.analysis.comparison import Comparison
from vecparity.analysis.standings import ConfigurationFigures, means
from vecparity.analysis.verdict import accuracy_in_words, steps_in_words
from vecparity.errors import VecparityError
from vecparity.report.strategy_results import StrategyResult

# A run of this test accuracy or above has learned the parity: all but 1% of its test set.
LEARNED = 0.99
CHANCE = 0.5
# Without an interval, a mean accuracy from here on is taken to be better than chance.
_CLEARLY_BETTER = 0.6


@dataclass(frozen=True)
class Conclusions:
    """Conclusions with which a report begins.

    Attributes:
        verdict: Sentences that say which strategy is how good on which configurations, and which differences are real.
        comparisons: Every other strategy compared with the first, by configuration.
        not_compared: Sentences that say which comparisons could not be made, and why.
    """

    verdict: list[str]
    comparisons: list[Comparison]
    not_compared: list[str]


def conclude(results: Sequence[StrategyResult]) -> Conclusions:
    """Compares a report's strategies, the first of which is the baseline."""
    comparisons, not_compared = [], []
    for other in results[1:]:
        for label in results[0].evaluations:
            if label not in other.evaluations:
                continue
            try:
                comparisons.append(_compared(results[0], other, label))
            except VecparityError as error:
                not_compared.append(f"{label}, {other.name} against {results[0].name}: {error}")
    return Conclusions(_verdict(results), comparisons, not_compared)


def _verdict(results: Sequence[StrategyResult]) -> list[str]:
    if len(results) == 1:
        return _alone(results[0])
    ranked = sorted((result for result in results if not result.obstacle), key=_rank)
    obstacles = [f"{result.name} ({result.obstacle})" for result in results if result.obstacle]
    left_out = [f"Not ranked: {listed(obstacles)}."] if obstacles else []
    if not ranked:
        return left_out
    if len(ranked) == 1:
        return [*_alone(ranked[0]), *left_out]
    best, second, *_ = ranked
    place = ", the next" if len(ranked) > 2 else ""
    sentences = [_lead(best, second, len(ranked)), f"Against {second.name}{place}: {_against(second, best)}."]
    if not results[0].obstacle and results[0] not in (best, second):
        sentences.append(f"Against {results[0].name}, the baseline: {_against(results[0], best)}.")
    return [*sentences, *left_out]


def _rank(result: StrategyResult) -> tuple[float, float]:
    accuracy, steps = means(result.figures)
    return -accuracy, steps


def _alone(result: StrategyResult) -> list[str]:
    if not result.figures:
        return [f"{result.name} has no score: {result.obstacle}."]
    steps = means(result.figures)[1]
    obstacle = f" Not to be ranked: {result.obstacle}." if result.obstacle else ""
    return [
        f"{result.name} {_learning(result)}, in {steps:,.0f} steps on average.",
        f"Test accuracy: {listed([f'{_accuracy(result, label)} on {label}' for label in result.figures])}.{obstacle}",
    ]


def _lead(best: StrategyResult, second: StrategyResult, num_ranked: int) -> str:
    accuracy, steps = means(best.figures)
    if _rank(best) == _rank(second):
        lead = f"{best.name} and {second.name} have the same mean test accuracy in as many steps"
    elif _rank(best)[0] == _rank(second)[0]:
        lead = f"{best.name} has the same mean test accuracy as {second.name}, in fewer steps"
    else:
        lead = f"{best.name} has the highest mean test accuracy of {num_ranked} strategies"
    return f"{lead}: {accuracy:.4f} in {steps:,.0f} steps. It {_learning(best)}."


def _learning(result: StrategyResult) -> str:
    """Says on which configurations a strategy learns the parity."""
    levels: dict[str, list[str]] = {}
    for label, figures in result.figures.items():
        levels.setdefault(_level(figures), []).append(label)
    return listed([f"{level} {listed(labels)}" for level, labels in levels.items()])


def _level(figures: ConfigurationFigures) -> str:
    if figures.accuracy >= LEARNED:
        return "learns the parity on"
    is_better = figures.interval.low > CHANCE if figures.interval else figures.accuracy >= _CLEARLY_BETTER
    return "learns the parity in part on" if is_better else "is not clearly better than chance on"


def _accuracy(result: StrategyResult, label: str) -> str:
    figures = result.figures[label]
    runs = [run for evaluation in result.evaluations[label] for run in evaluation.results]
    learned = sum(run.test_accuracy >= LEARNED for run in runs)
    return f"{with_interval(figures)}, {learned} of {len(runs)} runs at {LEARNED:g} or above"


def with_interval(figures: ConfigurationFigures) -> str:
    """Returns a mean accuracy with its interval."""
    if figures.interval is None:
        return f"{figures.accuracy:.4f} (no interval)"
    return f"{figures.accuracy:.4f} (95% interval {figures.interval.low:.4f} to {figures.interval.high:.4f})"


def _against(baseline: StrategyResult, other: StrategyResult) -> str:
    """Says which differences are real, with configurations of the same words together."""
    labels_by_words: dict[str, list[str]] = {}
    for label in baseline.figures:
        try:
            words = _differences(_compared(baseline, other, label))
        except VecparityError as error:
            words = f"not compared ({error})"
        labels_by_words.setdefault(words, []).append(label)
    return "; ".join(f"{words} on {listed(labels)}" for words, labels in labels_by_words.items())


def _differences(comparison: Comparison) -> str:
    if comparison.accuracy.is_real is None or comparison.steps.is_real is None:
        return "too few secrets to tell"
    return f"{accuracy_in_words(comparison.accuracy)}, {steps_in_words(comparison.steps)}"


def _compared(baseline: StrategyResult, other: StrategyResult, label: str) -> Comparison:
    return compare(baseline.evaluations[label], other.evaluations[label], names=(baseline.name, other.name))


def listed(parts: Sequence[str]) -> str:
    """Returns parts of a sentence with commas, and "and" before the last."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
