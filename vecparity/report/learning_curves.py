"""Pictures of learning curves: every run, the median, and where runs ended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from markupsafe import Markup

from vecparity.evaluation.result import RunCurve
from vecparity.report.axes import LEAST_LOSS, new_figure, scale_accuracies, scale_losses, scale_steps
from vecparity.report.curves import Median, evenly_thinned, median, points_per_run, thinned
from vecparity.report.hover import describe_marks
from vecparity.report.series import Series, run_name
from vecparity.report.svg import PAPER, to_svg
from vecparity.training.curve import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Quantity = Literal["loss", "accuracy"]
CURVES: tuple[Quantity, ...] = ("loss", "accuracy")

# Windows of all medians in a picture that show their values, and most of one median.
_MOST_DESCRIBED, _MOST_DESCRIBED_OF_ONE = 240, 40


def learning_curves(series: Sequence[Series], quantity: Quantity, prefix: str) -> Markup:
    """Draws every run thin, the median over live runs bold, and a mark where a run stopped early."""
    figure, axes = new_figure(2.9)
    most = points_per_run(sum(len(entry.evaluation.curves) for entry in series))
    for entry in series:
        _draw_runs(axes, entry, quantity, most)
    middles = [median(entry.evaluation) for entry in series]
    for middle in middles:  # a margin around the bold lines, so that they stand out from many runs
        _draw(axes, middle.step, _values(middle, quantity), most, {"color": PAPER, "linewidth": 3.6})
    for entry, middle in zip(series, middles, strict=True):
        style = {"color": entry.colour, "linewidth": 1.9, "linestyle": entry.line_style}
        _draw(axes, middle.step, _values(middle, quantity), most, style)
        _describe_median(axes, entry, middle, quantity, _MOST_DESCRIBED // len(series))
    for entry in series:
        _mark_ends(axes, entry, quantity)
    scale_steps(axes, series)
    if quantity == "loss":
        scale_losses(axes)
    else:
        scale_accuracies(axes)
        axes.set_ylabel("accuracy")
    return to_svg(figure, prefix, f"{quantity} against training steps, one line a run, and the median in bold")


def _draw_runs(axes: "Axes", entry: Series, quantity: Quantity, most: int) -> None:
    """Draws every run as a thin, translucent line, which shows its end unless that has a mark of its own."""
    from matplotlib.collections import LineCollection

    runs = [run for run in entry.evaluation.curves if run.curve.step]
    opacity = max(0.08, min(0.5, 6 / max(len(runs), 1)))
    lines = [_points(run.curve.step, _values(run.curve, quantity), most) for run in runs]
    drawn = axes.add_collection(LineCollection(lines, colors=entry.colour, linewidths=0.7, alpha=opacity))
    marked = {id(run) for of_marker in _marked_ends(entry).values() for run in of_marker}
    describe_marks(drawn, *("" if id(run) in marked else _end_in_words(entry, run, quantity) for run in runs))


def _describe_median(axes: "Axes", entry: Series, middle: Median, quantity: Quantity, most: int) -> None:
    """Lets windows of a median show their values, by marks that cannot be seen."""
    windows = evenly_thinned(len(middle.step), min(most, _MOST_DESCRIBED_OF_ONE))
    values = _values(middle, quantity)[windows]
    steps = [middle.step[window] for window in windows]
    (marks,) = axes.plot(steps, values, linestyle="none", marker="o", markersize=7, color="none", clip_on=False)
    describe_marks(
        marks,
        *(
            f"{entry.name}, step {step:,}: median {quantity} {value:.4g} of {middle.live[window]} runs"
            for window, step, value in zip(windows, steps, values, strict=True)
        ),
    )


def _marked_ends(entry: Series) -> dict[str, list[RunCurve]]:
    """Returns the runs that did not train to the last step, by their marker: diverged, or stopped early."""
    diverged = {(run.secret_index, run.order_index) for run in entry.evaluation.diverged}
    ends: dict[str, list[RunCurve]] = {"o": [], "X": []}
    for run in entry.evaluation.curves:
        if run.curve.step and (run.secret_index, run.order_index) in diverged:
            ends["X"].append(run)
        elif run.curve.step and run.curve.step[-1] < entry.evaluation.config.max_steps:
            ends["o"].append(run)
    return ends


def _mark_ends(axes: "Axes", entry: Series, quantity: Quantity) -> None:
    """Marks the ends of runs that did not train to the last step; an edge sets each mark off from the lines."""
    ends = _marked_ends(entry)
    for marker, size in (("o", 4.2), ("X", 7.0)):
        if ends[marker]:
            style: dict[str, Any] = {
                "marker": marker,
                "markersize": size,
                "markeredgecolor": PAPER,
                "markeredgewidth": 0.7,
            }
            points = [(run.curve.step[-1], _values(run.curve, quantity)[-1]) for run in ends[marker]]
            (marks,) = axes.plot(*np.array(points).T, linestyle="none", color=entry.colour, clip_on=False, **style)
            describe_marks(marks, *(_end_in_words(entry, run, quantity) for run in ends[marker]))


def _end_in_words(entry: Series, run: RunCurve, quantity: Quantity) -> str:
    value = getattr(run.curve, quantity)[-1]
    name = run_name(entry, run.secret_index, run.order_index)
    return f"{name}: {quantity} {value:.4g} at step {run.curve.step[-1]:,}"


def _draw(axes: "Axes", steps: Sequence[int], values: np.ndarray, most: int, style: dict[str, Any]) -> None:
    axes.plot(*_points(steps, values, most).T, **style)


def _points(steps: Sequence[int], values: np.ndarray, most: int) -> np.ndarray:
    """Returns the points of a curve to draw, one (step, value) a row."""
    points = thinned(values, most)
    return np.column_stack([np.array(steps)[points], values[points]])


def _values(curve: Curve | Median, quantity: Quantity) -> np.ndarray:
    """Returns losses, raised to a least value that has a logarithm, or unchanged accuracies."""
    return np.maximum(curve.loss, LEAST_LOSS) if quantity == "loss" else np.array(curve.accuracy)
