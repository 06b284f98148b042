import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ADVERSARIAL
from equivalence import train_silently
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from vecparity.audits.foresight import foresight, num_sealed_needed, permutation_p_value
from vecparity.kernels.cpu import native
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import PublicSeeds, SealedSeeds
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.runs import make_runs


def test_the_finding() -> None:
    finding = foresight([1.0] * 10, [0.5] * 40)
    assert finding.passed is False
    assert finding.figures.pop("p_value") == 1 / math.comb(50, 10)
    assert finding.figures == {"public": 10, "sealed": 40, "public_accuracy": 1.0, "sealed_accuracy": 0.5}
    assert "got 0.5000 on those and 1.0000 on 10 public ones; p = " in finding.summary
    assert foresight([0.5] * 10, [1.0] * 40).passed
    assert foresight([1.0] * 10, [1.0] * 40).figures["p_value"] == 1


@given(st.integers(1, 7), st.integers(1, 7), st.randoms())
def test_p_values_are_those_of_all_permutations(num_public: int, num_sealed: int, rng: Any) -> None:
    draw = np.random.default_rng(rng.getrandbits(32))
    public, sealed = (draw.choice([0.5, 0.625, 0.75, 1.0], size) for size in (num_public, num_sealed))
    pooled = [*public, *sealed]
    sums = [sum(chosen) for chosen in combinations(pooled, num_public)]
    expected = sum(each >= public.sum() for each in sums) / len(sums)
    assert permutation_p_value(public.tolist(), sealed.tolist()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("public", "needed"), [(1, None), (2, 44), (3, 44), (5, 44), (10, 44), (1000, 44)])
def test_with_enough_sealed_secrets_it_can_decide(public: int, needed: int | None) -> None:
    assert num_sealed_needed(public) == needed
    if needed is not None:
        assert foresight([1.0] * public, [0.5] * needed).passed is False


@pytest.mark.parametrize(("public", "sealed"), [(5, 7), (2, 43), (1, 500), (10, 3)])
def test_too_few_secrets_decide_nothing(public: int, sealed: int) -> None:
    finding = foresight([1.0] * public, [0.5] * sealed)
    assert finding.passed is None
    assert finding.summary.endswith("undecided")
    if public > 1:
        assert foresight([1.0] * public, [0.5] * (sealed + 1)).passed is False


@pytest.mark.parametrize(("gained", "public", "caught"), [(3, 10, False), (4, 10, True), (2, 5, False), (3, 5, True)])
def test_a_gain_on_some_secrets_is_found_though_the_others_are_below_chance(
    gained: int, public: int, caught: bool
) -> None:
    finding = foresight([0.6] * gained + [0.49] * (public - gained), np.linspace(0.49, 0.51, 44).tolist())
    assert finding.passed is not caught


@pytest.mark.parametrize("values", [[0.5, 1.0], [1.0], [0.5, 0.5, 0.5, 1.0], np.linspace(0.4, 0.6, 500)])
def test_false_alarms_are_as_rare_as_stated(values: list[float]) -> None:
    rng = np.random.default_rng(2)
    p_values = [foresight(*rng.choice(values, (2, 7)).tolist()).figures["p_value"] for _ in range(150)]
    for level in (0.001, 0.05):
        alarms = sum(p_value <= level for p_value in p_values)
        assert binom.sf(alarms - 1, len(p_values), level) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "passed"), [("seed_of_all_runs", False), ("seed_of_the_run", False), ("cube", True)]
)
def test_foreseen_secrets_are_found(strategy: str, passed: bool) -> None:
    config = TaskConfig(hidden_width=96, num_orderings=1, max_steps=3000, test_set_size=500)
    chosen = interface.load(load("isolated_cube" if strategy == "cube" else ADVERSARIAL / f"{strategy}.py"))
    sealed = [(chosen, SealedSeeds(bytes([key]) * 32, 42)) for key in range(4)]
    runs = make_runs([(chosen, PublicSeeds(42)), *sealed], config)
    engine = NativeEngine() if native.is_available() else VmapEngine()
    accuracies = [end.test_accuracy or 0.0 for end in train_silently(runs, config, engine, torch.float32)]
    assert foresight(accuracies[:10], accuracies[10:]).passed is passed
