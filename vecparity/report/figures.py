"""Pictures of one configuration's evaluations: learning curves, the ends of runs, and first-layer weights.

The module uses Matplotlib's objects without pyplot, so it leaves no global figures. Call it within `svg.drawing`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from markupsafe import Markup

from vecparity.report.curves import Median, median, points_per_run, thinned
from vecparity.report.series import Series
from vecparity.report.svg import PAPER, to_svg
from vecparity.training.curve import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Quantity = Literal["loss", "accuracy"]
CURVES: tuple[Quantity, ...] = ("loss", "accuracy")

_WIDTH = 4.8
# Ratios of the largest loss to the smallest: up to the first, a logarithmic scale adds nothing; up to the second, it
# needs more ticks.
_NARROW, _FEW_DECADES = 4.0, 50.0
_LEAST_LOSS = 1e-6  # documents round smaller losses to 0
# At this ratio of the longest to the shortest run or above, the step axis is logarithmic beyond the first window.
_WIDE = 8.0
_MOST_STEP_TICKS = 6


def learning_curves(series: Sequence[Series], quantity: Quantity, prefix: str) -> Markup:
    """Draws every run thin, the median over live runs bold, and a mark where a run stopped early."""
    figure, axes = _figure(2.9)
    most = points_per_run(sum(len(entry.evaluation.curves) for entry in series))
    for entry in series:
        _draw_runs(axes, entry, quantity, most)
    middles = [median(entry.evaluation) for entry in series]
    for middle in middles:  # a margin around the bold lines, so that they stand out from many runs
        _draw(axes, middle.step, _values(middle, quantity), most, {"color": PAPER, "linewidth": 3.6})
    for entry, middle in zip(series, middles, strict=True):
        style = {"color": entry.colour, "linewidth": 1.9, "linestyle": entry.line_style}
        _draw(axes, middle.step, _values(middle, quantity), most, style)
    for entry in series:
        _mark_ends(axes, entry, quantity)
    _scale_steps(axes, series)
    if quantity == "loss":
        _scale_losses(axes)
    else:
        axes.set_ylim(min(0.4, axes.get_ylim()[0]), 1.02)
        axes.set_ylabel("accuracy")
    return to_svg(figure, prefix, f"{quantity} against training steps, one line a run, and the median in bold")


def steps(series: Sequence[Series], prefix: str) -> Markup:
    """Draws each run's last step: a full dot if it stopped early, a hollow dot if not, a cross if it diverged."""
    figure, axes = _figure(0.75 + 0.42 * len(series))
    for row, entry in enumerate(series):
        last = entry.evaluation.config.max_steps
        stopped = [run.steps for run in entry.evaluation.results if run.steps < last]
        _strip(axes, row, stopped, entry.colour, "full")
        _strip(axes, row, [run.steps for run in entry.evaluation.results if run.steps >= last], entry.colour, "none")
        broken = [run.step for run in entry.evaluation.diverged]
        axes.plot(broken, [row] * len(broken), linestyle="none", marker="x", color=entry.colour, clip_on=False)
    _name_rows(axes, [entry.letter for entry in series])
    _scale_steps(axes, series)
    return to_svg(figure, prefix, "the steps that each run took, one dot a run")


def first_layers(series: Sequence[Series], prefix: str) -> Markup:
    """Draws two dots for each run: the mean |weight| of its secret's features, and that of the other features."""
    figure, axes = _figure(0.75 + 0.62 * len(series))
    names: list[str] = []
    for entry in series:
        weights = [layer.mean_abs_weight for layer in entry.evaluation.first_layers]
        _strip(axes, len(names), [weight.secret for weight in weights], entry.colour, "full")
        names.append(f"{entry.letter} secret")
        others = [weight.others for weight in weights if weight.others is not None]
        if others:
            _strip(axes, len(names), others, entry.colour, "none")
            names.append(f"{entry.letter} others")
    _name_rows(axes, names)
    axes.set_xlim(left=-0.015 * axes.get_xlim()[1])
    axes.set_xlabel("mean |weight| of a feature in the first layer, in the end")
    return to_svg(
        figure, prefix, "mean absolute first-layer weights of the secret's features and of the others, by run"
    )


def _figure(height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height))
    return figure, figure.subplots()


def _draw_runs(axes: "Axes", entry: Series, quantity: Quantity, most: int) -> None:
    """Draws every run as a thin, translucent line."""
    opacity = max(0.08, min(0.5, 6 / max(len(entry.evaluation.curves), 1)))
    for run in entry.evaluation.curves:
        style = {"color": entry.colour, "linewidth": 0.7, "alpha": opacity}
        _draw(axes, run.curve.step, _values(run.curve, quantity), most, style)


def _mark_ends(axes: "Axes", entry: Series, quantity: Quantity) -> None:
    """Marks the ends of runs that did not train to the last step; an edge sets each mark off from the lines."""
    diverged = {(run.secret_index, run.order_index) for run in entry.evaluation.diverged}
    ends: dict[str, list[tuple[int, float]]] = {"X": [], "o": []}
    for run in entry.evaluation.curves:
        if run.curve.step and (run.secret_index, run.order_index) in diverged:
            ends["X"].append((run.curve.step[-1], _values(run.curve, quantity)[-1]))
        elif run.curve.step and run.curve.step[-1] < entry.evaluation.config.max_steps:
            ends["o"].append((run.curve.step[-1], _values(run.curve, quantity)[-1]))
    for marker, size in (("o", 4.2), ("X", 7.0)):
        if ends[marker]:
            style: dict[str, Any] = {
                "marker": marker,
                "markersize": size,
                "markeredgecolor": PAPER,
                "markeredgewidth": 0.7,
            }
            axes.plot(*np.array(ends[marker]).T, linestyle="none", color=entry.colour, clip_on=False, **style)


def _draw(axes: "Axes", steps: Sequence[int], values: np.ndarray, most: int, style: dict[str, Any]) -> None:
    points = thinned(values, most)
    axes.plot(np.array(steps)[points], values[points], **style)


def _values(curve: Curve | Median, quantity: Quantity) -> np.ndarray:
    """Returns losses, raised to a least value that has a logarithm, or unchanged accuracies."""
    return np.maximum(curve.loss, _LEAST_LOSS) if quantity == "loss" else np.array(curve.accuracy)


def _strip(axes: "Axes", row: int, values: Sequence[float], colour: str, fill: Literal["full", "none"]) -> None:
    """Draws the dots of one row, each at its own height so that equal values do not overlap."""
    heights = row + (np.linspace(-0.28, 0.28, len(values)) if len(values) > 1 else np.zeros(len(values)))
    axes.plot(
        values,
        heights,
        linestyle="none",
        marker="o",
        markersize=3.4,
        fillstyle=fill,
        color=colour,
        alpha=0.75,
        markeredgewidth=0.9,
        clip_on=False,
    )


def _name_rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _scale_losses(axes: "Axes") -> None:
    """Sets a logarithmic scale for losses if they differ enough for it to have ticks."""
    axes.set_ylabel("loss (nats)")
    low, high = axes.dataLim.intervaly
    if high <= _NARROW * low:
        return
    axes.set_yscale("log")
    axes.set_ylabel("loss (nats, log scale)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    between = ("2", "5") if high < _FEW_DECADES * low else ()
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in between else "")


def _scale_steps(axes: "Axes", series: Sequence[Series]) -> None:
    """Sets the step axis from 0; logarithmic if short runs would be invisible beside long ones."""
    from matplotlib.ticker import MaxNLocator

    ends = [run.steps for entry in series for run in entry.evaluation.results if run.steps]
    ends += [run.step for entry in series for run in entry.evaluation.diverged]
    longest, window = max(ends, default=1), series[0].evaluation.config.log_interval
    axes.set_xlabel("training steps")
    if ends and longest > _WIDE * max(min(ends), window):
        axes.set_xscale("symlog", linthresh=window, linscale=0.4)
        axes.set_xlabel(f"training steps (log scale from {window:,} on)")
        decades = (scale * 10**power for power in range(12) for scale in (1, 3))
        ticks = [tick for tick in decades if window <= tick <= longest]
        while len(ticks) >= _MOST_STEP_TICKS:
            ticks = ticks[::-2][::-1]
        axes.set_xticks([0, *ticks])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(_MOST_STEP_TICKS - 1, integer=True, min_n_ticks=1))
    axes.set_xlim(-0.01 * longest if axes.get_xscale() == "linear" else 0, longest * 1.04)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 0 else "")
