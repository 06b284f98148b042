"""Learning curves: the points to draw, and the median over the runs that are still live."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vecparity.evaluation.result import Evaluation

# Points in one picture over all runs, and points of one run. More would be invisible and make the page too large.
_MOST_POINTS = 5_000
_MOST_OF_A_RUN = 160
_FEWEST_OF_A_RUN = 8


@dataclass(frozen=True)
class Median:
    """The median over live runs at the windows of the longest run.

    Attributes:
        step: Steps at which the windows closed.
        loss: Median loss in nats.
        accuracy: Median batch accuracy.
        live: Number of live runs.
    """

    step: list[int]
    loss: list[float]
    accuracy: list[float]
    live: list[int]


def median(evaluation: Evaluation) -> Median:
    """Returns the median of every window over the runs that reached it."""
    curves = [run.curve for run in evaluation.curves]
    steps = max((curve.step for curve in curves), key=len)
    loss, accuracy, live = [], [], []
    for window in range(len(steps)):
        taking_part = [curve for curve in curves if len(curve.step) > window]
        loss.append(float(np.median([curve.loss[window] for curve in taking_part])))
        accuracy.append(float(np.median([curve.accuracy[window] for curve in taking_part])))
        live.append(len(taking_part))
    return Median(steps, loss, accuracy, live)


def points_per_run(num_runs: int) -> int:
    """Returns the most points to draw of each run if ``num_runs`` runs share a picture."""
    return min(_MOST_OF_A_RUN, max(_FEWEST_OF_A_RUN, _MOST_POINTS // max(num_runs, 1)))


def thinned(values: Sequence[float] | np.ndarray, most: int) -> list[int]:
    """Chooses the points of a curve to draw: its ends, and the extremes of stretches of equal length.

    Args:
        values: The curve.
        most: Points to draw, give or take the two ends.

    Returns:
        The points' positions, ascending: all positions if there are no more than ``most``.
    """
    if len(values) <= most:
        return list(range(len(values)))
    indices = {0, len(values) - 1}
    edges = np.linspace(0, len(values), most // 2 + 1).astype(int).tolist()
    for begin, end in pairwise(edges):
        stretch = values[begin:end]
        indices |= {begin + int(np.argmin(stretch)), begin + int(np.argmax(stretch))}
    return sorted(indices)


def evenly_thinned(count: int, most: int) -> list[int]:
    """Returns at most about ``most`` positions among ``count``, evenly spaced, with the first and the last."""
    positions = np.linspace(0, count - 1, min(count, max(most, 2))).round()
    return sorted({int(position) for position in positions})
