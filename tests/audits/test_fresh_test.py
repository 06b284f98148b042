import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ADVERSARIAL
from equivalence import train_silently
from scipy.stats import binom

from vecparity.audits.fresh_test import fresh_test, of_means
from vecparity.audits.plan import with_fresh_test_sets
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import make_fresh_test_set, unpack
from vecparity.task.seeds import PublicSeeds
from vecparity.training.curve import Curve
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.loop import Trained
from vecparity.training.runs import Run, make_runs

CONFIG = TaskConfig(hidden_width=32, num_hidden_secrets=3, num_orderings=2, max_steps=40, test_set_size=2000)


def runs_of(strategy: str, config: TaskConfig = CONFIG) -> list[Run]:
    path = ADVERSARIAL / f"{strategy}.py" if (ADVERSARIAL / f"{strategy}.py").exists() else strategy
    seeds = PublicSeeds(42)
    return with_fresh_test_sets(make_runs([(interface.load(load(path)), seeds)], config), seeds, config)


def ended(accuracies: Sequence[tuple[float | None, float | None]]) -> list[Trained]:
    return [Trained(100, own, Curve(), None, fresh) for own, fresh in accuracies]


@pytest.mark.parametrize(("strategy", "passed"), [("seed_of_the_test_set", False), ("default_4096", True)])
def test_training_on_the_test_set_is_found(strategy: str, passed: bool) -> None:
    config = replace(CONFIG, max_steps=400)
    runs = runs_of(strategy, config)
    ends = train_silently(runs, config, VmapEngine(), torch.float32)
    finding = fresh_test(runs, ends, config)
    assert finding.passed is passed
    assert (finding.figures["test_accuracy"] > 0.55) is not passed
    assert finding.figures["fresh_accuracy"] == pytest.approx(0.5, abs=0.05)


def test_the_networks_are_tested_on_the_new_rows() -> None:
    runs = runs_of("isolated_cube", replace(CONFIG, max_steps=100))
    ends = train_silently(runs, replace(CONFIG, max_steps=100), VmapEngine(), torch.float32)
    swapped = [
        replace(run, test_set=fresh, fresh_test_set=run.test_set) for run in runs if (fresh := run.fresh_test_set)
    ]
    others = train_silently(swapped, replace(CONFIG, max_steps=100), VmapEngine(), torch.float32)
    accuracies = [(end.test_accuracy, end.fresh_accuracy) for end in ends]
    assert accuracies == [(end.fresh_accuracy, end.test_accuracy) for end in others]
    assert any(own != fresh for own, fresh in accuracies)


def test_new_rows_are_uniform_and_labelled_with_the_parity() -> None:
    for n_features, secret in ((1, (0,)), (5, (0, 4)), (64, (3, 63)), (70, (1, 64, 69)), (128, (0, 127))):
        config = TaskConfig(n_features=n_features, secret_size=len(secret), num_hidden_secrets=1, test_set_size=4000)
        drawn = make_fresh_test_set(config, secret, 5)
        x = unpack(drawn.bits, n_features, torch.float64)
        assert x.shape == (4000, n_features)
        assert torch.equal(drawn.labels, (x[:, list(secret)].sum(dim=1) % 2).to(torch.uint8))
        assert (x.mean(dim=0) - 0.5).abs().max() < 5 * 0.5 / math.sqrt(4000)
        unused = drawn.bits[:, -1] >> (n_features - 1) % 64 >> 1
        assert n_features % 64 == 0 or not unused.any()
        assert not torch.equal(drawn.bits, make_fresh_test_set(config, secret, 6).bits)


def test_p_values_by_hand() -> None:
    finding = of_means(np.array([0.7, 0.5]), np.array([0.6, 0.5]), 2000)
    assert finding.figures["p_value"] == pytest.approx(2 * 2 * math.exp(-2000 * 0.1**2))
    assert finding.figures["secret"] == 0
    everywhere = of_means(np.array([0.55] * 4), np.array([0.5] * 4), 2000)
    assert everywhere.figures["p_value"] == pytest.approx(2 * math.exp(-4 * 2000 * 0.05**2))
    assert of_means(np.array([0.5]), np.array([0.9]), 2000).figures["p_value"] == 1


def test_runs_of_one_secret_count_together_and_diverged_ones_do_not() -> None:
    runs = runs_of("default_4096")
    ends = ended([(1.0, 0.5), (0.5, 0.5), (None, None), (None, None), (0.5, 0.5), (0.75, 0.5)])
    finding = fresh_test(runs, ends, CONFIG)
    assert finding.figures["secrets"] == 2
    assert finding.figures["test_accuracy"] == pytest.approx((0.75 + 0.625) / 2)
    none = fresh_test(runs, ended([(None, None)] * 6), CONFIG)
    assert none.passed is None


@pytest.mark.parametrize(("rows", "passed"), [(989, None), (991, True)])
def test_it_decides_if_it_would_find_a_gain_of_a_tenth(rows: int, passed: bool | None) -> None:
    assert of_means(np.full(10, 0.5), np.full(10, 0.5), rows).passed is passed
    assert of_means(np.array([0.6] + [0.5] * 9), np.full(10, 0.5), rows).passed is (None if rows < 990 else False)
    assert of_means(np.full(10, 0.9), np.full(10, 0.5), rows).passed is False


def test_false_alarms_are_rarer_than_stated() -> None:
    """Also where all networks of a secret err on the same rows, which makes the differences as large as may be."""
    draw = np.random.default_rng(1)
    own, fresh = draw.binomial(2000, 0.5, (2, 20_000, 5)) / 2000
    alarms = sum(of_means(*pair, 2000).passed is False for pair in zip(own, fresh, strict=True))
    assert binom.sf(alarms - 1, len(own), 1 / 1000) > 1e-3
