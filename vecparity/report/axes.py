"""Axes of the report's pictures: their size, and scales of accuracies, losses and steps.

Matplotlib's objects are used without pyplot, so no global figures are left. Draw within `svg.drawing`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vecparity.report.series import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.8  # inches
# Losses below are drawn here: they have no logarithm, and documents round them to 0.
LEAST_LOSS = 1e-6
# Ratios of the largest loss to the smallest: up to the first, a logarithmic scale adds nothing; up to the second, it
# needs more ticks.
_NARROW, _FEW_DECADES = 4.0, 50.0
# At this ratio of the longest to the shortest run or above, the step axis is logarithmic beyond the first window.
_WIDE = 8.0
_MOST_STEP_TICKS = 6


def new_figure(height: float) -> "tuple[Figure, Axes]":
    """Returns a figure of the report's width, in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots()


def scale_accuracies(axes: "Axes") -> None:
    """Sets the range of accuracies from a bit below chance, or from the lowest."""
    axes.set_ylim(min(0.4, axes.get_ylim()[0]), 1.02)


def scale_losses(axes: "Axes") -> None:
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


def scale_steps(axes: "Axes", series: Sequence[Series]) -> None:
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
