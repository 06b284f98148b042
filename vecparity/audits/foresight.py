"""Foresight audit: tests for higher accuracy on the secrets of the public formulas than on sealed secrets.

This is the widest of the audits: a strategy may gain from foreseeable secrets, test sets or orderings, but not from
those under an unknown key. For a strategy that foresees nothing, the secrets of both evaluations are drawn alike, so
that their test accuracies are exchangeable. The test permutes the labels "public" and "sealed", all ways of it (Fisher,
The Design of Experiments, 1935, section 21). An author who chose among strategies by their score on the public secrets
has also used foresight, in good faith; the audit does not tell the cause.

An accuracy far above all others proves little by itself: any one of n public secrets is the best of n + m by chance
with a probability of n / (n + m). The number of sealed secrets therefore decides which share of the public secrets a
cheat can gain on without being found, however large the gain. `benchmarks.audit_power` simulates it.
"""

import math
from collections.abc import Sequence

import numpy as np

from vecparity.audits.finding import FALSE_ALARMS, AuditFinding

# Enough to find a gain on 4 of 10, 3 of 5, or 2 of 2 public secrets.
_SEALED = 44
# With a single public secret, 999 sealed ones would be needed.
_MOST_SEALED = 100
# Accuracies are rounded to multiples of 1/1024, or of a larger step if there are very many secrets.
_MOST_LEVELS, _FEWEST_LEVELS = 1024, 64
_MOST_OPERATIONS = 2e8


def num_sealed_needed(public: int) -> int | None:
    """Returns the number of sealed secrets with which `foresight` can decide, or None if it takes too many.

    Args:
        public: Number of public secrets.
    """
    counts = (sealed for sealed in range(_SEALED, _MOST_SEALED) if can_decide(public, sealed))
    return next(counts, None)


def can_decide(public: int, sealed: int) -> bool:
    """Checks whether a gain on all public secrets has a p-value of at most 1/1000."""
    return math.comb(public + sealed, public) * FALSE_ALARMS >= 1


def foresight(public: Sequence[float], sealed: Sequence[float]) -> AuditFinding:
    """Tests whether public secrets have a higher test accuracy than sealed ones.

    Args:
        public: Test accuracy of one run of each secret of an evaluation under `PublicSeeds`; a diverged run counts as
            0. Which run of a secret it is must be unforeseeable.
        sealed: Test accuracy of one run of each secret, other than the public ones, under `SealedSeeds` with a key made
            for this audit.

    Returns:
        The finding; undecided with too few secrets, see `num_sealed_needed`.
    """
    if not can_decide(len(public), len(sealed)):
        expected = num_sealed_needed(len(public)) or f"more than {_MOST_SEALED}"
        summary = f"expected {expected} sealed secrets for {len(public)} public ones, got {len(sealed)}: undecided"
        return AuditFinding("foresight", None, summary, {"public": len(public), "sealed": len(sealed)})
    p_value = permutation_p_value(public, sealed)
    public_mean, sealed_mean = float(np.mean(public)), float(np.mean(sealed))
    return AuditFinding(
        name="foresight",
        passed=p_value > FALSE_ALARMS,
        summary=(
            f"expected the same test accuracy on {len(sealed)} sealed secrets, got {sealed_mean:.4f} on those and "
            f"{public_mean:.4f} on {len(public)} public ones; p = {p_value:.2g} (fails at p <= {FALSE_ALARMS:g})"
        ),
        figures={
            "public": len(public),
            "sealed": len(sealed),
            "p_value": p_value,
            "public_accuracy": public_mean,
            "sealed_accuracy": sealed_mean,
        },
    )


def permutation_p_value(public: Sequence[float], sealed: Sequence[float]) -> float:
    """Returns the share of all choices of public secrets whose accuracies have at least the observed sum.

    The accuracies are rounded first, so that sums are small integers, whose frequencies follow secret by secret. The
    test is as exact with rounded accuracies as without.
    """
    # The choices of the smaller group are the same choices. Its sum is small where that of the other is large.
    is_public_smaller = len(public) <= len(sealed)
    group, num_all = min(len(public), len(sealed)), len(public) + len(sealed)
    levels = int(np.clip(_MOST_OPERATIONS / (num_all * group**2), _FEWEST_LEVELS, _MOST_LEVELS))
    values = np.rint(np.array([*public, *sealed]) * levels).astype(int)
    if not is_public_smaller:
        values = levels - values
    observed = int(values[: len(public)].sum() if is_public_smaller else values[len(public) :].sum())
    choices = np.zeros((group + 1, group * levels + 1))  # by the number chosen so far, and their sum
    choices[0, 0] = 1
    for value in values:
        choices[1:, value:] += choices[:-1, : choices.shape[1] - value].copy()
    return float(choices[group, observed:].sum() / choices[group].sum())
