"""Pictures of where one configuration's runs ended, and of their first layers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from markupsafe import Markup

from vecparity.report.axes import new_figure, scale_steps
from vecparity.report.curves import evenly_thinned
from vecparity.report.hover import describe_marks
from vecparity.report.series import Series, run_name
from vecparity.report.svg import to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Most steps of one series at which the picture of ends shows its values.
_MOST_DESCRIBED = 60


def ends(series: Sequence[Series], prefix: str) -> Markup:
    """Draws the share of runs that had ended by each step, for each series; a cross where a run diverged."""
    figure, axes = new_figure(2.5)
    for entry in series:
        evaluation = entry.evaluation
        steps = np.sort([run.steps for run in evaluation.results] + [run.step for run in evaluation.diverged])
        axes.ecdf(steps, color=entry.colour, linestyle=entry.line_style, linewidth=1.9, clip_on=False)
        last = evaluation.config.max_steps
        num_whole = sum(run.steps >= last for run in evaluation.results)
        whole = f", {num_whole} of them without stopping"
        distinct = np.unique(steps)[evenly_thinned(len(np.unique(steps)), _MOST_DESCRIBED)]
        ended = np.searchsorted(steps, distinct, side="right")
        (marks,) = axes.plot(
            distinct,
            ended / len(steps),
            linestyle="none",
            marker=entry.marker,
            markersize=3.0,
            color=entry.colour,
            clip_on=False,
        )
        describe_marks(
            marks,
            *(
                f"{entry.name}: {count} of {len(steps)} runs had ended by step {step:,}{whole if step >= last else ''}"
                for step, count in zip(distinct.tolist(), ended.tolist(), strict=True)
            ),
        )
        if evaluation.diverged:
            broken = [run.step for run in evaluation.diverged]
            shares = np.searchsorted(steps, broken, side="right") / len(steps)
            (crosses,) = axes.plot(
                broken, shares, linestyle="none", marker="x", markersize=7, color=entry.colour, clip_on=False
            )
            texts = (
                f"{run_name(entry, run.secret_index, run.order_index)}: diverged at step {run.step:,}"
                for run in evaluation.diverged
            )
            describe_marks(crosses, *texts)
    scale_steps(axes, series)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("share of runs that ended")
    return to_svg(figure, prefix, "share of the runs that had ended by each training step")


def first_layers(series: Sequence[Series], prefix: str) -> Markup:
    """Draws two dots for each run: the mean |weight| of its secret's features, and that of the other features."""
    figure, axes = new_figure(0.75 + 0.84 * len(series))
    names: list[str] = []
    for entry in series:
        layers = entry.evaluation.first_layers
        secret = [layer.mean_abs_weight.secret for layer in layers]
        others = [layer.mean_abs_weight.others for layer in layers]
        where = [run_name(entry, layer.secret_index, layer.order_index) for layer in layers]
        _draw_strip(
            axes,
            len(names),
            secret,
            entry,
            [f"{run}: {weight:.4g} on its secret's features" for run, weight in zip(where, secret, strict=True)],
            "full",
        )
        names.append(f"{entry.short}: the secret's features")
        known = [(run, weight) for run, weight in zip(where, others, strict=True) if weight is not None]
        if known:
            texts = [f"{run}: {weight:.4g} on the others" for run, weight in known]
            _draw_strip(axes, len(names), [weight for _, weight in known], entry, texts, "none")
            names.append(f"{entry.short}: the others")
    for row, name in enumerate(names):
        axes.text(0.0, row - 0.36, name, transform=axes.get_yaxis_transform(), verticalalignment="bottom", fontsize=8.5)
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.55, -0.9)
    axes.set_xlim(left=-0.015 * axes.get_xlim()[1])
    axes.set_xlabel("mean |weight| of a feature in the first layer, in the end")
    return to_svg(
        figure, prefix, "mean absolute first-layer weights of the secret's features and of the others, by run"
    )


def _draw_strip(
    axes: "Axes",
    row: int,
    values: Sequence[float],
    entry: Series,
    texts: Sequence[str],
    fill: Literal["full", "none"],
) -> None:
    """Draws the dots of one row, each at its own height so that equal values do not overlap."""
    heights = row + (np.linspace(-0.28, 0.28, len(values)) if len(values) > 1 else np.zeros(len(values)))
    (marks,) = axes.plot(
        values,
        heights,
        linestyle="none",
        marker="o",
        markersize=3.4,
        fillstyle=fill,
        color=entry.colour,
        alpha=0.75,
        markeredgewidth=0.9,
        clip_on=False,
    )
    describe_marks(marks, *texts)
