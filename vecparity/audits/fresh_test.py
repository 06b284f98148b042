"""Fresh-test audit: tests trained networks on new rows of the same secrets, drawn under a key made for the audit.

The test set of an evaluation follows from public formulas. A strategy that trained on its rows, on rows like them or on
anything else that it computed from them does better on them than on new rows. An honest strategy's networks do not
depend on either set of rows, which are drawn alike. For one secret, whose runs share both sets, the gain is the
difference of two means over T independent rows each, of values between 0 and 1 (the share of the runs that label the
row correctly). By Hoeffding ("Probability inequalities for sums of bounded random variables", 1963, theorem 2) it is g
or more with a probability of at most exp(-T g^2). For the mean gain over n secrets the bound is exp(-n T g^2).
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from vecparity.audits.finding import FALSE_ALARMS, AuditFinding
from vecparity.task.config import TaskConfig
from vecparity.training.progress import Trained
from vecparity.training.runs import Run

# The audit decides if it would find a gain of this size on a single secret.
_GAIN = 0.1


def fresh_test(runs: Sequence[Run], ends: Sequence[Trained], config: TaskConfig) -> AuditFinding:
    """Tests whether networks do better on their test sets than on new rows; see the module docstring.

    Args:
        runs: The runs of one evaluation, ordered by (secret, ordering).
        ends: Their results. Diverged runs do not count.
        config: The settings.

    Returns:
        The finding; undecided if the test sets are too small for a gain of 0.1 on one secret, or no run can be tested.
    """
    by_secret: dict[int, list[tuple[float, float]]] = {}
    for run, end in zip(runs, ends, strict=True):
        if end.test_accuracy is not None and end.fresh_accuracy is not None:
            by_secret.setdefault(run.secret_index, []).append((end.test_accuracy, end.fresh_accuracy))
    means = np.array([np.mean(accuracies, axis=0) for accuracies in by_secret.values()]).reshape(-1, 2)
    return of_means(means[:, 0], means[:, 1], config.test_set_size)


def of_means(own: Float64[np.ndarray, " secret"], fresh: Float64[np.ndarray, " secret"], num_rows: int) -> AuditFinding:
    """Returns the finding of `fresh_test`.

    Args:
        own: Mean accuracy of each secret's runs on its test set.
        fresh: Mean accuracy of the same runs on the new rows.
        num_rows: Rows of each test set, and new rows of each secret.
    """
    num_secrets = len(own)
    if not num_secrets:
        return AuditFinding("fresh-test", None, "expected trained networks, got none: undecided", {"secrets": 0})
    gains = [*(own - fresh), np.mean(own - fresh)]
    rows = [num_rows] * num_secrets + [num_rows * num_secrets]
    bounds = [math.exp(-count * max(0.0, gain) ** 2) for gain, count in zip(gains, rows, strict=True)]
    # Half of the false alarms for the mean gain, half for the largest.
    worst = int(np.argmin(bounds[:-1]))
    p_value = min(1.0, 2 * min(num_secrets * bounds[worst], bounds[-1]))
    is_failed = p_value <= FALSE_ALARMS
    is_decided = 2 * num_secrets * math.exp(-num_rows * _GAIN**2) <= FALSE_ALARMS
    expectation = f"expected the same test accuracy on {num_rows} new rows of each secret"
    actual = f"{fresh.mean():.4f} on those and {own.mean():.4f} on the test sets; p = {p_value:.2g}"
    needed = math.ceil(math.log(2 * num_secrets / FALSE_ALARMS) / _GAIN**2)
    end = f"fails at p <= {FALSE_ALARMS:g}" if is_failed or is_decided else f"undecided below {needed} rows"
    return AuditFinding(
        name="fresh-test",
        passed=False if is_failed else True if is_decided else None,
        summary=f"{expectation}, got {actual} ({end})",
        figures={
            "secrets": num_secrets,
            "rows": num_rows,
            "p_value": p_value,
            "test_accuracy": float(own.mean()),
            "fresh_accuracy": float(fresh.mean()),
            "secret": worst,
        },
    )
