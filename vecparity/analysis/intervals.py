"""How far figures over secrets can be trusted: 95% intervals, bootstrapped over secrets.

A secret's orderings share a dataset, so that secrets are what is drawn anew, never single runs. With 5 or 10 of them
percentile intervals are too short: identical strategies were called different in up to 20% of simulated comparisons of
5 secrets and 15% of 10 (expanded percentiles, Hesterberg, The American Statistician 69(4), 2015: 10% of both; with 3
secrets, 25% of either kind). What kept to 5% (6% at worst), from 3 secrets on, for accuracies that are normal or either
0.5 or 1.0 and for steps to stop, is Student's quantile times the bootstrap's standard error, rid of its bias: what
Student's and Welch's intervals would be but for the noise of 9 999 resamples.

That is the rate for each figure's difference. A comparison has two, accuracy and steps, so that one or the other is
called different in about 1 of 10 comparisons of identical strategies.

The interval of one strategy's own accuracy is missed about as seldom where what spreads it shows in the secrets at
hand. What is rare may not show, and then no interval can tell of it. Where 1 run in 100 fails, 63% of strategies under
protocol published and 5% under full have no failed run on all three configurations; where failures go with the secret,
86% and 74%. If nothing else varies there is then no interval; if something else does, there is one, and it is missed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

# Two secrets agree by chance too often: identical strategies would be called different in up to 14% of comparisons.
LEAST_SECRETS = 3
_CONFIDENCE = 0.95
_RESAMPLES = 9_999


@dataclass(frozen=True)
class Interval:
    """The range in which a figure is believed to lie."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def within(self, least: float, most: float) -> "Interval":
        """Returns the interval clipped to the possible values."""
        return Interval(min(max(self.low, least), most), min(max(self.high, least), most))


def interval(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> Interval | None:
    """The 95% interval of a weighted sum of the means of independent samples.

    One sample with weight 1 gives that of a mean, weights -1 and 1 that of a difference of two. Standard errors are
    bootstrapped, times sqrt(n / (n - 1)) because the bootstrap's variance is that of the n values themselves;
    degrees of freedom are Welch's (Biometrika 34, 1947). The same data give the same interval. A sample whose values
    are all the same counts as without spread, as long as another has some.

    Args:
        samples: One value for each secret.
        weights: One for each sample.

    Returns:
        The interval, or None if a sample has fewer than 3 secrets, which is too few to tell, or if the secrets do not
        differ within any sample, so that there is no spread to estimate.
    """
    assert len(samples) == len(weights), "one weight a sample"
    if min(len(sample) for sample in samples) < LEAST_SECRETS:
        return None
    from scipy import stats

    centre = math.fsum(weight * fmean(sample) for sample, weight in zip(samples, weights, strict=True))
    variances = [(weight * _standard_error(sample)) ** 2 for sample, weight in zip(samples, weights, strict=True)]
    variance = math.fsum(variances)
    if variance == 0:
        return None
    shares = [(part / variance) ** 2 / (len(sample) - 1) for part, sample in zip(variances, samples, strict=True)]
    reach = float(stats.t.ppf((1 + _CONFIDENCE) / 2, 1 / math.fsum(shares))) * math.sqrt(variance)
    return Interval(centre - reach, centre + reach)


def _standard_error(sample: Sequence[float]) -> float:
    """Of the sample's mean."""
    if min(sample) == max(sample):
        return 0.0
    import numpy as np
    from scipy.stats import bootstrap

    resampled = bootstrap((sample,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=0)
    return float(resampled.standard_error) * math.sqrt(len(sample) / (len(sample) - 1))
