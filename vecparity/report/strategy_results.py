"""Each strategy's figures in a report, pooled over its seeds, by configuration."""

from collections.abc import Sequence
from dataclasses import dataclass

from vecparity.analysis.contenders import failed_audits
from vecparity.analysis.ranking import figures_of
from vecparity.analysis.standings import ConfigurationFigures
from vecparity.evaluation.result import Evaluation
from vecparity.evaluation.summary import summarize
from vecparity.report.series import Series, by_strategy


@dataclass(frozen=True)
class StrategyResult:
    """One strategy in a report.

    Attributes:
        name: The strategy's name, distinct from the report's other strategies.
        series: Its evaluations as they are drawn.
        evaluations: Its evaluations by configuration, with a seed of its own each.
        figures: Figures of the configurations on which all of its evaluations have a score.
        obstacle: Why it is not ranked among the report's strategies; empty if it is.
    """

    name: str
    series: list[Series]
    evaluations: dict[str, list[Evaluation]]
    figures: dict[str, ConfigurationFigures]
    obstacle: str


def strategy_results(series: Sequence[Series]) -> list[StrategyResult]:
    """Returns the report's strategies in the order of their first evaluations."""
    labels = list(dict.fromkeys(entry.evaluation.config.label for entry in series))
    return [_result(name, own, labels) for name, own in by_strategy(series).items()]


def _result(name: str, series: list[Series], labels: Sequence[str]) -> StrategyResult:
    evaluations: dict[str, list[Evaluation]] = {}
    for entry in series:
        evaluations.setdefault(entry.evaluation.config.label, []).append(entry.evaluation)
    figures = {
        label: figures_of([summarize(evaluation) for evaluation in on_one])
        for label, on_one in evaluations.items()
        if not any(evaluation.why_no_score for evaluation in on_one)
    }
    return StrategyResult(name, series, evaluations, figures, _obstacle(evaluations, figures, labels))


def _obstacle(
    evaluations: dict[str, list[Evaluation]], figures: dict[str, ConfigurationFigures], labels: Sequence[str]
) -> str:
    failed = failed_audits(evaluation for on_one in evaluations.values() for evaluation in on_one)
    without = [label for label in evaluations if label not in figures]
    missing = [label for label in labels if label not in evaluations]
    obstacles = [
        f"fails {', '.join(failed)}" if failed else "",
        f"no score on {', '.join(without)}" if without else "",
        f"not evaluated on {', '.join(missing)}" if missing else "",
    ]
    return ", ".join(filter(None, obstacles))
