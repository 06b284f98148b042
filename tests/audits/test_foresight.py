import numpy as np
import pytest
import torch
from conftest import ADVERSARIAL
from equivalence import train_silently
from scipy.stats import binom, permutation_test

from vecparity.audits.foresight import foresight
from vecparity.kernels.cpu import native
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import PublicSeeds, SealedSeeds
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.runs import make_runs


def test_the_finding() -> None:
    finding = foresight([1.0] * 10, [0.5] * 10)
    assert finding.passed is False
    assert finding.figures.pop("p_value") < 1 / 5000
    assert finding.figures == {"public": 10, "sealed": 10, "public_accuracy": 1.0, "sealed_accuracy": 0.5}
    assert "got 0.5000 on those and 1.0000 on 10 public ones; p = " in finding.summary
    assert foresight([0.5] * 10, [1.0] * 10).passed
    assert foresight([1.0] * 10, [1.0] * 10).figures["p_value"] == 1


def test_p_values_are_those_of_all_permutations() -> None:
    rng = np.random.default_rng(1)
    public, sealed = rng.choice([0.5, 0.75, 0.9, 1.0], (2, 7))
    exact = permutation_test(
        (public, sealed), lambda x, y: x.mean() - y.mean(), alternative="greater", n_resamples=np.inf
    )
    assert foresight(public.tolist(), sealed.tolist()).figures["p_value"] == pytest.approx(exact.pvalue, abs=1e-12)


@pytest.mark.parametrize(("public", "sealed"), [(5, 8), (2, 61), (1, 500), (10, 4)])
def test_too_few_secrets_decide_nothing(public: int, sealed: int) -> None:
    finding = foresight([1.0] * public, [0.5] * sealed)
    assert finding.passed is None
    assert finding.summary.endswith("undecided")
    if public > 1:
        assert foresight([1.0] * public, [0.5] * (sealed + 1)).passed is False


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
    runs = make_runs([(chosen, PublicSeeds(42)), (chosen, SealedSeeds(bytes(32), 42))], config)
    engine = NativeEngine() if native.is_available() else VmapEngine()
    accuracies = [end.test_accuracy or 0.0 for end in train_silently(runs, config, engine, torch.float32)]
    assert foresight(accuracies[:10], accuracies[10:]).passed is passed
