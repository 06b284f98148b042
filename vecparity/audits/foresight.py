"""Foresight audit: tests for higher accuracy on the secrets of the public formulas than on sealed secrets.

This is the widest of the audits: a strategy may gain from foreseeable secrets, test sets or orderings, but not from
those under an unknown key. For a strategy that foresees nothing, the secrets of both evaluations are drawn alike, so
that their test accuracies are exchangeable. The test permutes the labels "public" and "sealed": all ways where they are
few, else random ones, with the observed one counted among them, which keeps the stated error rate (Phipson & Smyth,
"Permutation p-values should never be zero", 2010, equation 3). An author who chose among strategies by their score on
the public secrets has also used foresight, in good faith; the audit does not tell the cause.
"""

import math
from collections.abc import Sequence

import numpy as np

from vecparity.audits.finding import AuditFinding

_FALSE_ALARMS = 1 / 1000
_PERMUTATIONS = 20_000
# With fewer ways to choose the public secrets, a p-value of 1/1000 is out of reach, or depends on the random draws.
FEWEST_CHOICES = 2000


def foresight(public: Sequence[float], sealed: Sequence[float]) -> AuditFinding:
    """Tests whether public secrets have a higher test accuracy than sealed ones.

    Args:
        public: Mean test accuracy of each secret of an evaluation under `PublicSeeds`; a diverged run counts as 0.
        sealed: Mean test accuracy of each secret, other than the public ones, under `SealedSeeds` with keys made for
            this audit, over the same number of orderings.

    Returns:
        The finding; undecided with too few secrets (10 and 5, 5 and 9, or 2 and 62 are enough).
    """
    if math.comb(len(public) + len(sealed), len(public)) < FEWEST_CHOICES:
        summary = (
            f"expected more secrets (10 public and 5 sealed ones are enough), got {len(public)} and {len(sealed)}: "
            "undecided"
        )
        return AuditFinding("foresight", None, summary, {"public": len(public), "sealed": len(sealed)})
    from scipy.stats import permutation_test  # takes a while to import

    tested = permutation_test(
        (public, sealed),
        lambda public, sealed, axis: np.mean(public, axis=axis) - np.mean(sealed, axis=axis),
        vectorized=True,
        n_resamples=_PERMUTATIONS - 1,
        alternative="greater",
        rng=0,
    )
    p_value = float(tested.pvalue)
    public_mean, sealed_mean = float(np.mean(public)), float(np.mean(sealed))
    return AuditFinding(
        name="foresight",
        passed=p_value > _FALSE_ALARMS,
        summary=(
            f"expected the same test accuracy on {len(sealed)} sealed secrets, got {sealed_mean:.4f} on those and "
            f"{public_mean:.4f} on {len(public)} public ones; p = {p_value:.2g} (fails at p <= {_FALSE_ALARMS:g})"
        ),
        figures={
            "public": len(public),
            "sealed": len(sealed),
            "p_value": p_value,
            "public_accuracy": public_mean,
            "sealed_accuracy": sealed_mean,
        },
    )
