"""Cross-pairing: initial weights made for one secret, trained on another's dataset.

Weights that know nothing of a secret do as well on any other; weights that carry what they should have learnt fail
there. Runs are paired, two secrets in one ordering, and both are trained a second time with their initial weights and
hyperparameters exchanged. The seeds of the two draw independently of the secrets and alike, so that an honest exchange
leaves the joint distribution of the four test accuracies as it was: what the two runs score more than the exchanged
ones is, datasets and orderings given, symmetric about 0 and independent from pair to pair. The test of that is
Fisher's (The Design of Experiments, 1935, section 21): all signs of the differences are as likely, and the p-value is
the share of them whose sum is at least the one seen. So an honest strategy, whatever it is, fails an audit with a
probability of at most 1/1000.

What it does not see: weights that carry *all* the evaluation's secrets, from which training need only choose. That is
for `foresight` to find.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float64

from vecparity.audits.findings import AuditFinding
from vecparity.task.config import TaskConfig
from vecparity.training.loop import Trained
from vecparity.training.runs import Run

_FALSE_ALARMS = 1 / 1000
# With fewer pairs, even differences that are all above 0 have a p-value above 1/1000.
FEWEST_PAIRS = 10
# Where half of an evaluation's runs leak, about three quarters of the pairs show it: with 20 pairs, too few of them do
# less than once in a hundred audits. All 2^20 signs take 20 ms.
_MOST_PAIRS = 20


def num_orderings_needed(config: TaskConfig) -> int:
    """Number of runs per secret that must be made (`make_runs`) for there to be enough pairs.

    It is more than the settings' where the evaluation is small. A single secret has no other to exchange with.
    """
    num_pairs = config.num_hidden_secrets // 2
    return max(config.num_orderings, -(-FEWEST_PAIRS // num_pairs)) if num_pairs else config.num_orderings


def choose_pairs(runs: Sequence[Run], choice: int) -> list[tuple[Run, Run]]:
    """Chooses which runs exchange their initial weights: of different secrets in the same ordering, each at most once.

    Args:
        runs: Of one evaluation, with `num_orderings_needed`.
        choice: Seeds the choice. A strategy that could foresee it would be honest where it is looked at.

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
    """Exchanges initial weights and hyperparameters in each pair: its two runs, one after the other."""
    return [
        replace(run, params=other.params, optimizer=other.optimizer)
        for pair in pairs
        for run, other in (pair, pair[::-1])
    ]


def cross_pairing(straight: Sequence[Trained], crossed: Sequence[Trained]) -> AuditFinding:
    """Whether runs did better with their own initial weights than with the other's. See the module's text.

    Only the test accuracy is tested; steps are among the figures.

    Args:
        straight: How the runs of the pairs ended, the two of each pair one after the other.
        crossed: How the `crossed_runs` ended. A diverged run counts as accuracy 0.

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
        passed=p_value > _FALSE_ALARMS,
        summary=(
            f"expected the same test accuracy with initial weights made for another secret, got {others.mean():.4f} "
            f"with those and {own.mean():.4f} with their own over {num_pairs} pairs of runs; p = {p_value:.2g} "
            f"(fails at p <= {_FALSE_ALARMS:g})"
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
    """The share of all signs of the differences with a sum at least theirs: exact, one-sided; time 2^pairs."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    # Equal sums of accuracies, rounded to float32, differ by less; unequal ones that count as equal raise the p-value.
    return float(np.mean(sums >= differences.sum() - 1e-6))


def _accuracies(ended: Sequence[Trained]) -> Float64[np.ndarray, " run"]:
    return np.array([end.test_accuracy or 0.0 for end in ended])
