"""One figure of two strategies over their secrets: the difference, and whether it is real."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from vecparity.analysis.intervals import LEAST_SECRETS, Interval, interval


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
        interval: Where that is believed to be (95%), or None where nothing is known of it.
        is_real: Whether identical strategies would differ like this at most about once in 20 comparisons; None where
            the secrets are too few to tell.
        tally: None where they have different secrets.
    """

    first: float
    second: float
    difference: float
    interval: Interval | None
    is_real: bool | None
    tally: Tally | None

    @property
    def is_none(self) -> bool:
        """Whether all secrets that both have were treated the same."""
        return self.tally is not None and not self.tally.wins and not self.tally.losses


def difference(first: Sequence[float], second: Sequence[float], *, is_paired: bool, more_is_better: bool) -> Difference:
    """Compares two strategies.

    It is real where the interval excludes 0. Where no secret differs from another on either side there is none that
    could be believed:

    * The same secrets: a difference that is the same on all of them is its own interval. It is 0 for a strategy against
      itself; any other is real, because the same sign throughout is what chance seldom makes of 5 secrets.
    * Other secrets: there is no interval, because secrets that happen to agree say nothing of those to come, and the
      difference is real unless it is 0: identical strategies whose secrets go one of two ways would each have to draw
      one way throughout, which happens in 1 of 32 comparisons of 3 secrets and 1 of 512 of 5.

    Args:
        first: One value for each of the first's secrets.
        second: The same of the second.
        is_paired: Whether both have the same secrets, in the same order, which are then compared one by one. Else they
            are independent samples of all secrets.
        more_is_better: Who wins a secret.
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
