"""Cross-pairing: initial weights made for one secret, trained on another's dataset.

Weights that contain nothing about a secret do equally well on any other secret; weights that contain what the run
should learn fail on another. Runs are paired, two secrets in one ordering, and both are trained a second time with
their initial weights and hyperparameters exchanged. The seeds of the two runs are drawn alike and independently of the
secrets, so for an honest strategy the exchange leaves the joint distribution of the four test accuracies unchanged.
Given datasets and orderings, the amount by which the two runs outscore the exchanged ones is symmetric about 0 and
independent between pairs. The test is Fisher's (The Design of Experiments, 1935, section 21): all signs of the
differences are equally likely, and the p-value is the share of sign choices whose sum is at least the observed sum. So
any honest strategy fails the audit with a probability of at most 1/1000.

The audit does not detect weights that contain *all* the evaluation's secrets, so that training only has to choose one.
`foresight` covers that case.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from vecparity.audits.finding import FALSE_ALARMS, AuditFinding
from vecparity.task.config import TaskConfig
from vecparity.training.loop import Trained
from vecparity.training.runs import Run

# With fewer pairs, the p-value is above 1/1000 even if all differences are above 0.
FEWEST_PAIRS = 10
# If half of an evaluation's runs leak, about three quarters of the pairs show it. With 20 pairs, fewer than one audit
# in a hundred has too few such pairs to detect the leak.
_MOST_PAIRS = 20
# Differences are rounded to multiples of 1/1024.
_LEVELS = 1024


def num_orderings_needed(config: TaskConfig) -> int:
    """Returns the number of runs per secret (`make_runs`) that give enough pairs.

    For a small evaluation it exceeds the number in the settings. A single secret has no other to exchange with.
    """
    num_pairs = config.num_hidden_secrets // 2
    return max(config.num_orderings, -(-FEWEST_PAIRS // num_pairs)) if num_pairs else config.num_orderings


def choose_pairs(runs: Sequence[Run], choice: int) -> list[tuple[Run, Run]]:
    """Chooses pairs of runs to exchange initial weights: different secrets, the same ordering, each run at most once.

    Args:
        runs: The runs of one evaluation, with `num_orderings_needed`.
        choice: Seed of the choice. A strategy that could foresee the choice could be honest in the chosen runs only.

    Returns:
        At most 20 pairs: 10 or more with two secrets, none with one.
    """
    rng = random.Random(choice)
    by_place = {(run.secret_index, run.order_index): run for run in runs}
    secrets = sorted({run.secret_index for run in runs})
    orderings = sorted({run.order_index for run in runs})
    rng.shuffle(secrets)
    pairs = [(by_place[a, j], by_place[b, j]) for a, b in list(pairwise(secrets))[::2] for j in orderings]
    return rng.sample(pairs, min(_MOST_PAIRS, len(pairs)))


def crossed_runs(pairs: Sequence[tuple[Run, Run]]) -> list[Run]:
    """Exchanges initial weights and hyperparameters in each pair; returns the two runs of each pair in sequence."""
    return [
        replace(run, params=other.params, optimizer=other.optimizer)
        for pair in pairs
        for run, other in (pair, pair[::-1])
    ]


def cross_pairing(straight: Sequence[Trained], crossed: Sequence[Trained]) -> AuditFinding:
    """Tests whether runs did better with their own initial weights than with exchanged ones; see the module docstring.

    Only the test accuracy is tested; the figures also contain steps.

    Args:
        straight: Results of the paired runs, the two of each pair in sequence.
        crossed: Results of the `crossed_runs`. A diverged run counts as accuracy 0.

    Returns:
        The finding; undecided with fewer than 10 pairs.
    """
    assert len(straight) == len(crossed) and len(straight) % 2 == 0
    num_pairs = len(straight) // 2
    if num_pairs < FEWEST_PAIRS:
        summary = f"expected at least {FEWEST_PAIRS} pairs of runs of different secrets, got {num_pairs}: undecided"
        return AuditFinding("cross-pairing", None, summary, {"pairs": num_pairs})
    own, others = (_accuracies(ended) for ended in (straight, crossed))
    p_value = sign_flip_p_value((own - others).reshape(num_pairs, 2).sum(axis=1))
    return AuditFinding(
        name="cross-pairing",
        passed=p_value > FALSE_ALARMS,
        summary=(
            f"expected the same test accuracy with initial weights made for another secret, got {others.mean():.4f} "
            f"with those and {own.mean():.4f} with their own over {num_pairs} pairs of runs; p = {p_value:.2g} "
            f"(fails at p <= {FALSE_ALARMS:g})"
        ),
        figures={
            "pairs": num_pairs,
            "p_value": p_value,
            "straight_accuracy": float(own.mean()),
            "crossed_accuracy": float(others.mean()),
            "straight_steps": float(np.mean([end.steps for end in straight])),
            "crossed_steps": float(np.mean([end.steps for end in crossed])),
        },
    )


def sign_flip_p_value(differences: Float64[np.ndarray, " pair"]) -> float:
    """Returns the share of sign choices whose sum is at least the observed sum: exact, one-sided.

    The differences are rounded first, so that sums are small integers, whose frequencies follow pair by pair. The test
    is as exact with rounded differences as without.
    """
    rounded = np.rint(differences * _LEVELS).astype(int)
    most = int(np.abs(rounded).sum())
    shares = np.zeros(2 * most + 1)  # by the sum of the signed differences so far, of which 0 is in the middle
    shares[most] = 1
    for size in np.abs(rounded):
        shares = (np.roll(shares, size) + np.roll(shares, -size)) / 2
    return float(shares[most + rounded.sum() :].sum())


def _accuracies(ended: Sequence[Trained]) -> Float64[np.ndarray, " run"]:
    return np.array([end.test_accuracy or 0.0 for end in ended])
