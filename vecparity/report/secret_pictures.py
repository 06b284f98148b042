"""Pictures of one configuration's runs in columns of their secrets: test accuracies and losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from vecparity.evaluation.result import DivergedRun, RunCurve, RunResult
from vecparity.report.axes import LEAST_LOSS, new_figure, scale_accuracies, scale_losses
from vecparity.report.hover import describe_marks
from vecparity.report.series import Series, run_name
from vecparity.report.svg import INK, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Share of a secret's column that its marks take.
_FILLED = 0.8


@dataclass(frozen=True)
class _Mark:
    """A run to draw in its secret's column, with the text to show while the pointer is on it."""

    secret: int
    ordering: int
    value: float
    text: str


def accuracies(series: Sequence[Series], prefix: str) -> Markup:
    """Draws every run's test accuracy in its secret's column; a cross below where a run diverged."""
    figure, axes = new_figure(2.9)
    for number, entry in enumerate(series):
        marks = [
            _mark(entry, run, run.test_accuracy, f"accuracy {run.test_accuracy:.6f}, {run.steps:,} steps")
            for run in entry.evaluation.results
        ]
        _draw_by_secret(axes, series, number, marks)
    scale_accuracies(axes)
    lowest = axes.get_ylim()[0]
    for number, entry in enumerate(series):
        crosses = [_mark(entry, run, lowest, f"diverged at step {run.step:,}") for run in entry.evaluation.diverged]
        _draw_by_secret(axes, series, number, crosses, marker="x")
    axes.set_ylim(bottom=lowest)
    axes.axhline(0.5, color=INK, linewidth=0.6, linestyle=(0, (4, 3)), alpha=0.6)
    axes.set_ylabel("test accuracy")
    _scale_secrets(axes, series)
    return to_svg(figure, prefix, "test accuracy of every run, by secret; the dashed line is chance")


def losses(series: Sequence[Series], prefix: str) -> Markup:
    """Draws the training loss of every run's last window in its secret's column."""
    figure, axes = new_figure(2.9)
    for number, entry in enumerate(series):
        marks = [
            _mark(
                entry,
                run,
                max(run.curve.loss[-1], LEAST_LOSS),
                f"loss {run.curve.loss[-1]:.4g} at step {run.curve.step[-1]:,}",
            )
            for run in entry.evaluation.curves
            if run.curve.step
        ]
        _draw_by_secret(axes, series, number, marks)
    scale_losses(axes)
    _scale_secrets(axes, series)
    return to_svg(figure, prefix, "training loss in the last window of every run, by secret")


def _mark(entry: Series, run: RunResult | DivergedRun | RunCurve, value: float, words: str) -> _Mark:
    place = run.secret_index, run.order_index
    return _Mark(*place, value, f"{run_name(entry, *place)}: {words}")


def _draw_by_secret(
    axes: "Axes", series: Sequence[Series], number: int, runs: Sequence[_Mark], marker: str | None = None
) -> None:
    """Draws one series' runs in its part of each secret's column, in the orderings' order."""
    if not runs:
        return
    entry = series[number]
    width = _FILLED / len(series)
    num_orderings = max(entry.evaluation.config.num_orderings, 1)
    left = -_FILLED / 2 + width * number
    (marks,) = axes.plot(
        [run.secret + left + width * (run.ordering + 0.5) / num_orderings for run in runs],
        [run.value for run in runs],
        linestyle="none",
        marker=marker or entry.marker,
        markersize=5.0 if marker else 4.0,
        color=entry.colour,
        alpha=0.8,
        markeredgewidth=1.2 if marker else 0.0,
        clip_on=False,
    )
    describe_marks(marks, *(run.text for run in runs))


def _scale_secrets(axes: "Axes", series: Sequence[Series]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(-0.5, max(entry.evaluation.config.num_hidden_secrets for entry in series) - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    axes.set_xlabel("secret")
    axes.grid(visible=False, axis="x")
