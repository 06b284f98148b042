"""95% intervals of figures over secrets: Student's and Welch's.

The orderings of a secret share a dataset, so a figure's sample is its means by secret, never its single runs. With 5
or 10 secrets, percentile bootstraps are too short: in simulations they called identical strategies different in up to
20% of comparisons of 5 secrets and 15% of 10 (expanded percentiles, Hesterberg, The American Statistician 69(4), 2015:
10% of both; with 3 secrets, 25% of either kind). Student's and Welch's intervals keep to 5% (6% at worst) from 3
secrets on, for accuracies that are normal or either 0.5 or 1.0 and for steps to stop.

That is the rate for the difference of one figure. A comparison has two figures, accuracy and steps, so one or the other
is called different in about 1 of 10 comparisons of identical strategies.

The interval of one strategy's accuracy is missed about as seldom, if the secrets at hand show everything that spreads
the accuracy. Rare failures may not show. If 1 run in 100 fails, 63% of strategies under protocol published and 5% under
full have no failed run on all three configurations; if failures go with the secret, 86% and 74%. If nothing else
varies, there is no interval then; if something else does, the interval misses the true accuracy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

# Two secrets agree by chance too often: identical strategies would be called different in up to 14% of comparisons.
LEAST_SECRETS = 3
_CONFIDENCE = 0.95


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
    """Returns the 95% interval of a weighted sum of the means of independent samples.

    One sample with weight 1 gives Student's interval of a mean; weights -1 and 1 give Welch's of a difference of two.
    Degrees of freedom are Welch's (Biometrika 34, 1947). A sample whose values are all the same counts as without
    spread, as long as another has some.

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
    import numpy as np
    from scipy.special import stdtrit  # Student's quantiles; all of scipy.stats takes a second to import

    centre = math.fsum(weight * fmean(sample) for sample, weight in zip(samples, weights, strict=True))
    # Values that are all the same have no spread, whatever their mean is rounded to.
    deviations = [0.0 if min(sample) == max(sample) else float(np.std(sample, ddof=1)) for sample in samples]
    errors = [deviation / math.sqrt(len(sample)) for deviation, sample in zip(deviations, samples, strict=True)]
    variances = [(weight * error) ** 2 for error, weight in zip(errors, weights, strict=True)]
    variance = math.fsum(variances)
    if variance == 0:
        return None
    shares = [(part / variance) ** 2 / (len(sample) - 1) for part, sample in zip(variances, samples, strict=True)]
    reach = float(stdtrit(1 / math.fsum(shares), (1 + _CONFIDENCE) / 2)) * math.sqrt(variance)
    return Interval(centre - reach, centre + reach)
