"""The picture of strategies' accuracies against N."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from vecparity.report.axes import new_figure, scale_accuracies
from vecparity.report.conclusions import CHANCE, with_interval
from vecparity.report.hover import describe_marks
from vecparity.report.strategy_results import StrategyResult
from vecparity.report.svg import INK, to_svg

# Share of the range of N between two strategies' marks, and most of it that all take: intervals stand side by side.
_BETWEEN, _MOST_SPREAD = 0.025, 0.3


def accuracy_by_n(results: Sequence[StrategyResult], prefix: str) -> Markup | None:
    """Draws mean test accuracy with 95% intervals; None if no strategy has a score for two values of N.

    Configurations with the same K are connected.
    """
    lines = [(number, size, labels) for number, result in enumerate(results) for size, labels in _lines(result)]
    if not lines:
        return None
    figure, axes = new_figure(2.9)
    values = sorted({n for _, _, labels in lines for n in labels})
    step = min(_BETWEEN, _MOST_SPREAD / len(results)) * (values[-1] - values[0])
    for number, size, labels in lines:
        result, entry = results[number], results[number].series[0]
        figures = [result.figures[label] for label in labels.values()]
        reach = [
            (max(0.0, each.accuracy - each.interval.low), max(0.0, each.interval.high - each.accuracy))
            if each.interval
            else (0.0, 0.0)
            for each in figures
        ]
        marks, _, _ = axes.errorbar(
            [n + step * (number - (len(results) - 1) / 2) for n in labels],
            [each.accuracy for each in figures],
            yerr=list(zip(*reach, strict=True)),
            color=entry.colour,
            linestyle=entry.line_style,
            marker=entry.marker,
            markersize=5.0,
            linewidth=1.6,
            elinewidth=1.2,
            capsize=3.0,
            clip_on=False,
        )
        texts = (
            f"{result.name}, N = {n}, K = {size}: {with_interval(each)}, {each.num_runs} runs"
            for n, each in zip(labels, figures, strict=True)
        )
        describe_marks(marks, *texts)
    axes.axhline(CHANCE, color=INK, linewidth=0.6, linestyle=(0, (4, 3)), alpha=0.6)
    axes.set_xticks(values)
    axes.set_xlabel("N, the number of input bits")
    axes.set_ylabel("test accuracy")
    scale_accuracies(axes)
    return to_svg(figure, prefix, "mean test accuracy against N with 95% intervals, one line a strategy")


def has_line(result: StrategyResult) -> bool:
    """Tells whether `accuracy_by_n` shows a strategy."""
    return any(True for _ in _lines(result))


def _lines(result: StrategyResult) -> Iterator[tuple[int, dict[int, str]]]:
    """Yields each K of a strategy with the labels of its configurations by N, where there are two or more."""
    sizes: dict[int, dict[int, str]] = {}
    for label in result.figures:
        config = result.evaluations[label][0].config
        sizes.setdefault(config.secret_size, {})[config.n_features] = label
    for size, labels in sizes.items():
        if len(labels) > 1:
            yield size, dict(sorted(labels.items()))
