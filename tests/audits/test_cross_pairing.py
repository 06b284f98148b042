from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ADVERSARIAL
from equivalence import train_silently
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, permutation_test

from vecparity.audits.cross_pairing import (
    choose_pairs,
    cross_pairing,
    crossed_runs,
    num_orderings_needed,
    sign_flip_p_value,
)
from vecparity.audits.finding import AuditFinding
from vecparity.kernels.cpu import native
from vecparity.strategy import interface
from vecparity.strategy.source import bundled, load
from vecparity.task.config import TaskConfig, task_config
from vecparity.task.seeds import PublicSeeds, SealedSeeds, Seeds
from vecparity.training.curve import Curve
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.loop import Trained
from vecparity.training.runs import Run, make_runs

CHEAT = ADVERSARIAL / "seed_of_the_run.py"
SHORT = TaskConfig(hidden_width=16, num_orderings=4, max_steps=20, log_interval=20, test_set_size=500)


def ended(accuracies: Sequence[float | None]) -> list[Trained]:
    return [Trained(100, accuracy, Curve(), None) for accuracy in accuracies]


def audit(jobs: Sequence[tuple[str | Path, Seeds]], config: TaskConfig) -> list[AuditFinding]:
    """Cross-pairs evaluations that are trained together."""
    loaded = [(interface.load(load(strategy)), seeds) for strategy, seeds in jobs]
    runs = make_runs(loaded, config, num_orderings_needed(config))
    pairs = [choose_pairs([run for run in runs if run.evaluation == job], 1) for job in range(len(jobs))]
    straight = [run for chosen in pairs for pair in chosen for run in pair]
    crossed = [run for chosen in pairs for run in crossed_runs(chosen)]
    engine = NativeEngine() if native.is_available() else VmapEngine()
    trained = train_silently([*straight, *crossed], config, engine, torch.float32)
    findings, first = [], 0
    for chosen in pairs:
        last = first + 2 * len(chosen)
        findings.append(cross_pairing(trained[first:last], trained[len(straight) + first : len(straight) + last]))
        first = last
    return findings


@pytest.mark.parametrize(
    ("config", "needed", "num_pairs"),
    [
        (task_config(), 10, 20),
        (task_config(protocol="published"), 5, 10),
        (task_config(smoke=True), 10, 10),
        (TaskConfig(num_hidden_secrets=3, num_orderings=13), 13, 13),
        (TaskConfig(num_hidden_secrets=100, num_orderings=1), 1, 20),
        (TaskConfig(num_hidden_secrets=1), 10, 0),
    ],
)
def test_pairs_are_of_different_secrets_in_one_ordering(config: TaskConfig, needed: int, num_pairs: int) -> None:
    assert num_orderings_needed(config) == needed
    runs = runs_at(config.num_hidden_secrets, needed)
    pairs = choose_pairs(runs, 1)
    assert len(pairs) == num_pairs
    assert all(a.order_index == b.order_index and a.secret_index != b.secret_index for a, b in pairs)
    assert len({id(run) for pair in pairs for run in pair}) == 2 * num_pairs
    assert pairs == choose_pairs(runs, 1)
    assert num_pairs == 0 or pairs != choose_pairs(runs, 2)


def runs_at(num_secrets: int, num_orderings: int) -> list[Run]:
    config = TaskConfig(n_features=2, secret_size=1, hidden_width=1, num_hidden_secrets=1, num_orderings=1)
    run = make_runs([(interface.load(load("default_4096")), PublicSeeds(1))], config)[0]
    places = product(range(num_secrets), range(num_orderings))
    return [replace(run, secret_index=i, order_index=j) for i, j in places]


def test_every_run_may_be_chosen() -> None:
    runs = runs_at(5, 3)
    chosen = {run.name for choice in range(50) for pair in choose_pairs(runs, choice) for run in pair}
    assert chosen == {run.name for run in runs}


def test_a_crossed_run_has_the_others_initialisation_and_nothing_else() -> None:
    config = replace(SHORT, num_hidden_secrets=2, num_orderings=1)
    a, b = make_runs([(interface.load(load("default_4096")), PublicSeeds(42))], config)
    b = replace(b, optimizer=replace(b.optimizer, lr=0.5))
    first, second = crossed_runs([(a, b)])
    assert (first.params is b.params, first.optimizer) == (True, b.optimizer)
    assert replace(first, params=a.params, optimizer=a.optimizer) == a
    assert (second.params is a.params, second.optimizer) == (True, a.optimizer)
    assert replace(second, params=b.params, optimizer=b.optimizer) == b


def test_p_values_by_hand() -> None:
    assert sign_flip_p_value(np.array([0.5])) == 1 / 2
    assert sign_flip_p_value(np.array([0.5, 0.25, -0.125])) == 2 / 8
    assert sign_flip_p_value(np.array([0.5, 0.5, -0.5])) == 4 / 8
    assert sign_flip_p_value(np.zeros(12)) == 1
    assert sign_flip_p_value(np.array([1.0] * 10 + [0.0] * 3)) == 2**-10


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8), st.floats(0, 1e-8))
def test_p_values_are_those_of_scipy(counts: list[int], rounding: float) -> None:
    differences = np.array(counts) / 8  # sums are exact, as scipy needs them to see that they are equal
    noisy = differences + rounding * np.resize([1, -1], len(counts))
    if len(counts) == 1:
        differences, noisy = np.append(differences, 0), np.append(noisy, 0)
    theirs = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flip_p_value(noisy) == pytest.approx(theirs.pvalue)


def test_the_finding() -> None:
    finding = cross_pairing(ended([1.0, 0.75] * 10), ended([0.5, None] * 10))
    assert finding.passed is False
    assert finding.figures == {
        "pairs": 10,
        "p_value": 2**-10,
        "straight_accuracy": 0.875,
        "crossed_accuracy": 0.25,
        "straight_steps": 100,
        "crossed_steps": 100,
    }
    assert finding.summary == (
        "expected the same test accuracy with initial weights made for another secret, got 0.2500 with those and "
        "0.8750 with their own over 10 pairs of runs; p = 0.00098 (fails at p <= 0.001)"
    )
    assert cross_pairing(ended([0.5, None] * 10), ended([1.0, 0.75] * 10)).passed


@pytest.mark.parametrize("num_pairs", [0, 9])
def test_too_few_pairs_decide_nothing(num_pairs: int) -> None:
    finding = cross_pairing(ended([1.0] * 2 * num_pairs), ended([0.5] * 2 * num_pairs))
    assert finding.passed is None
    assert finding.summary == (f"expected at least 10 pairs of runs of different secrets, got {num_pairs}: undecided")


NULLS = {
    "all equal": lambda rng, shape: np.ones(shape),
    "learnt or not": lambda rng, shape: rng.choice([0.5, 1.0], shape),
    "nearly all learnt": lambda rng, shape: rng.choice([0.5, 1.0], shape, p=[0.05, 0.95]),
    "some diverge": lambda rng, shape: rng.choice([0.0, 0.9, 1.0], shape, p=[0.1, 0.2, 0.7]),
    "counts": lambda rng, shape: rng.binomial(2048, 0.5, shape) / 2048,
    "skewed": lambda rng, shape: 1 - rng.exponential(0.01, shape).clip(max=1),
    "secrets differ": lambda rng, shape: rng.normal(rng.uniform(0.5, 0.9, (shape[0], 1)), 0.01, shape),
}


@pytest.mark.parametrize("num_pairs", [10, 12])
@pytest.mark.parametrize("null", NULLS)
def test_false_alarms_are_as_rare_as_stated(null: str, num_pairs: int) -> None:
    rng = np.random.default_rng(11)
    audits, alarms = 5000, 0
    for _ in range(audits):
        scores = NULLS[null](rng, (num_pairs, 4)).astype(np.float32).astype(np.float64)
        alarms += sign_flip_p_value(scores @ [1, 1, -1, -1]) <= 1 / 1000
    assert binom.sf(alarms - 1, audits, 1 / 1000) > 1e-3


@pytest.mark.parametrize("num_pairs", [10, 20])
def test_a_collapse_is_always_found(num_pairs: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        own = rng.binomial(2048, 0.99, 2 * num_pairs) / 2048
        others = rng.binomial(2048, 0.5, 2 * num_pairs) / 2048
        assert cross_pairing(ended(own.tolist()), ended(others.tolist())).passed is False


def test_a_leak_in_half_of_the_runs_is_found_in_20_pairs() -> None:
    rng = np.random.default_rng(3)
    missed, audits = 0, 200
    for _ in range(audits):
        leaks = rng.random(40) < 0.5
        own = rng.binomial(2048, np.where(leaks, 1.0, 0.5)) / 2048
        others = rng.binomial(2048, 0.5, 40) / 2048
        missed += cross_pairing(ended(own.tolist()), ended(others.tolist())).passed is not False
    assert missed <= audits // 100


@pytest.mark.parametrize("config", [SHORT, replace(SHORT, num_hidden_secrets=2, num_orderings=2)])
def test_weights_that_carry_the_secret_are_found(config: TaskConfig) -> None:
    (finding,) = audit([(CHEAT, PublicSeeds(42))], config)
    assert finding.passed is False
    assert finding.figures["straight_accuracy"] == 1
    assert finding.figures["crossed_accuracy"] == pytest.approx(0.5, abs=0.02)


def test_sealed_seeds_do_not_tell_the_secret() -> None:
    (finding,) = audit([(CHEAT, SealedSeeds(bytes(32), 42))], SHORT)
    assert finding.passed
    assert finding.figures["straight_accuracy"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", bundled())
def test_honest_strategies_pass(strategy: str) -> None:
    config = TaskConfig(
        n_features=16,
        secret_size=3,
        hidden_width=64,
        num_orderings=2,
        max_steps=300,
        log_interval=50,
        min_steps_before_stop=100,
        max_train_examples=10_000,
        test_set_size=500,
    )
    findings = audit([(strategy, PublicSeeds(seed)) for seed in range(1, 21)], config)
    assert [finding.passed for finding in findings] == [True] * 20
