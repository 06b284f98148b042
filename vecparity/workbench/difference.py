"""One figure of two strategies over their secrets: the difference, and whether it is real."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from vecparity.workbench.intervals import Interval, interval


@dataclass(frozen=True)
class Tally:
    """Secrets on which the second did better, worse and the same."""

    wins: int
    losses: int
    ties: int


@dataclass(frozen=True)
class Difference:
    """One figure of both.

    Attributes:
        first: Mean over the first's secrets.
        second: Mean over the second's.
        difference: Second minus first.
        interval: Where that is believed to be (95%), or None where the secrets are too few to tell.
        is_real: Whether the interval excludes 0, as it does for identical strategies about once in 20 comparisons.
        tally: None where they have different secrets.
    """

    first: float
    second: float
    difference: float
    interval: Interval | None
    is_real: bool | None
    tally: Tally | None


def difference(first: Sequence[float], second: Sequence[float], *, is_paired: bool, more_is_better: bool) -> Difference:
    """Compares two strategies.

    Args:
        first: One value for each of the first's secrets.
        second: The same of the second.
        is_paired: Whether both have the same secrets, in the same order, which are then compared one by one. Else they
            are independent samples of all secrets.
        more_is_better: Who wins a secret.
    """
    means = fmean(first), fmean(second)
    if is_paired:
        gains = [after - before for before, after in zip(first, second, strict=True)]
        believed, tally = interval([gains], [1.0]), _tally(gains, more_is_better)
    else:
        believed, tally = interval([first, second], [-1.0, 1.0]), None
    is_real = None if believed is None else believed.excludes_zero
    return Difference(*means, means[1] - means[0], believed, is_real, tally)


def _tally(gains: Sequence[float], more_is_better: bool) -> Tally:
    up, down = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    wins, losses = (up, down) if more_is_better else (down, up)
    return Tally(wins, losses, len(gains) - wins - losses)
