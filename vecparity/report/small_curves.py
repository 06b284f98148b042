"""Learning curves as small as a table's cell: the medians over the live runs of each evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from vecparity.evaluation.result import Evaluation
from vecparity.report.axes import LEAST_LOSS
from vecparity.report.curves import Median, median, thinned

_WIDTH, _HEIGHT = 120, 26
_MOST_POINTS = 60
# The lowest accuracy that is drawn apart from lower ones: a little below chance.
_LEAST_ACCURACY = 0.4


@dataclass(frozen=True)
class SmallCurves:
    """One evaluation's pictures; empty if its curves are not recorded.

    Attributes:
        loss: The loss, on a logarithmic scale that all evaluations share.
        accuracy: The training accuracy, from 0.4 to 1.
    """

    loss: Markup
    accuracy: Markup


def small_curves(evaluations: Sequence[Evaluation]) -> list[SmallCurves]:
    """Draws the curves of each evaluation, over its own steps and on one scale for all."""
    medians = [median(evaluation) for evaluation in evaluations]
    losses = [_logarithms(middle) for middle in medians]
    low = min((min(values) for values in losses if values), default=0.0)
    high = max((max(values) for values in losses if values), default=1.0)
    return [
        SmallCurves(
            _picture("loss", middle.step, values, (low, high), middle.loss),
            _picture("training accuracy", middle.step, middle.accuracy, (_LEAST_ACCURACY, 1.0), middle.accuracy),
        )
        for middle, values in zip(medians, losses, strict=True)
    ]


def _logarithms(middle: Median) -> list[float]:
    return [math.log10(max(loss, LEAST_LOSS)) for loss in middle.loss]


def _picture(
    quantity: str, steps: Sequence[int], heights: Sequence[float], scale: tuple[float, float], values: Sequence[float]
) -> Markup:
    """Draws one line.

    Args:
        quantity: What it is, for readers who cannot see it.
        steps: The step of each point.
        heights: The height of each point, on the scale.
        scale: The heights of the lower and the upper edge; what is beyond is drawn at the edge.
        values: The value of each point, for the description.
    """
    if not steps:
        return Markup("")
    low, high = scale
    shares = [min(1.0, max(0.0, (height - low) / ((high - low) or 1.0))) for height in heights]
    points = " ".join(
        f"{_WIDTH * steps[at] / steps[-1]:.1f},{1 + (_HEIGHT - 2) * (1 - shares[at]):.1f}"
        for at in thinned(heights, _MOST_POINTS)
    )
    words = escape(f"median {quantity}: {values[0]:.4g} at step {steps[0]:,}, {values[-1]:.4g} at step {steps[-1]:,}")
    return Markup(
        f'<svg class="small" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{words}"><title>{words}</title>'
        f'<polyline points="{points}"/></svg>'
    )
