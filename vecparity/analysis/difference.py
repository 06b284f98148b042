"""The difference between two strategies in one figure over their secrets, and whether it is real."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from vecparity.analysis.intervals import LEAST_SECRETS, Interval, interval


@dataclass(frozen=True)
class Tally:
    """Numbers of secrets on which the second strategy did better, worse and the same."""

    wins: int
    losses: int
    ties: int


@dataclass(frozen=True)
class Difference:
    """One figure of both strategies.

    Attributes:
        first: Mean over the first strategy's secrets.
        second: Mean over the second strategy's secrets.
        difference: Second minus first.
        interval: 95% interval of the difference, or None if the data give none.
        is_real: True if identical strategies would differ this much at most about once in 20 comparisons; None if
            there are too few secrets to tell.
        tally: Wins, losses and ties; None if the strategies have different secrets.
    """

    first: float
    second: float
    difference: float
    interval: Interval | None
    is_real: bool | None
    tally: Tally | None

    @property
    def is_none(self) -> bool:
        """True if both strategies have the same figure on every common secret."""
        return self.tally is not None and not self.tally.wins and not self.tally.losses


def difference(first: Sequence[float], second: Sequence[float], *, is_paired: bool, more_is_better: bool) -> Difference:
    """Compares two strategies in one figure.

    A difference is real if its interval excludes 0. If no secret differs from another on either side, the data give no
    credible interval:

    * The same secrets: a difference that is equal on all secrets is its own interval. It is 0 for a strategy against
      itself. Any other value is real, because chance seldom gives 5 secrets the same sign.
    * Different secrets: there is no interval, because secrets that happen to agree say nothing about future secrets.
      The difference is real unless it is 0: if each secret has one of two outcomes, two identical strategies would each
      have to draw one outcome throughout, which happens in 1 of 32 comparisons of 3 secrets and 1 of 512 of 5.

    Args:
        first: One value for each of the first strategy's secrets.
        second: One value for each of the second strategy's secrets.
        is_paired: True if both have the same secrets in the same order; they are then compared one by one. Otherwise
            they are independent samples of all secrets.
        more_is_better: True if the higher value wins a secret.
    """
    means = fmean(first), fmean(second)
    change = means[1] - means[0]
    if min(len(first), len(second)) < LEAST_SECRETS:
        believed, is_real = None, None
    elif is_paired:
        gains = [after - before for before, after in zip(first, second, strict=True)]
        believed = interval([gains], [1.0]) or Interval(gains[0], gains[0])
        is_real = believed.excludes_zero
    else:
        believed = interval([first, second], [-1.0, 1.0])
        is_real = believed.excludes_zero if believed else change != 0
    return Difference(*means, change, believed, is_real, _tally(first, second, more_is_better) if is_paired else None)


def _tally(first: Sequence[float], second: Sequence[float], more_is_better: bool) -> Tally:
    pairs = list(zip(first, second, strict=True))
    up, down = sum(after > before for before, after in pairs), sum(after < before for before, after in pairs)
    wins, losses = (up, down) if more_is_better else (down, up)
    return Tally(wins, losses, len(pairs) - wins - losses)
