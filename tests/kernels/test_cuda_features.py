"""Features that are on in no row of a run, which the CUDA kernel skips (its own source on a CPU: `emulated_cuda`)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import emulated_cuda
import pytest
import torch
from emulated_cuda import assert_same, engine, gradient_error, mutated, trained
from equivalence import CONFIG, assert_equivalent, make_run, make_runs, start, state_bits, windows

from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import pack, unpack
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.training.engines import cuda
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.runs import Run

pytestmark = pytest.mark.skipif(emulated_cuda.why_not() is not None, reason=emulated_cuda.why_not() or "")

SCATTERED = [1, 2, 7, 11, 16, 19]
WIDE = replace(CONFIG, n_features=100)


def using(run: Run, features: Sequence[int]) -> Run:
    """The run on rows that have only these features on."""
    n_features = run.dataset.n_features
    is_used = torch.zeros(n_features, dtype=torch.bool)
    is_used[list(features)] = True
    x = unpack(run.dataset.bits, n_features, torch.float32) * is_used
    return replace(run, dataset=replace(run.dataset, bits=pack(x.to(torch.uint8))))


def weights(ensemble: Ensemble, run: int) -> torch.Tensor:
    shapes = parameter_shapes(ensemble.n_features, ensemble.hidden_width)
    return unflatten(ensemble.params, shapes)["0.weight"][run]


def decayed(values: torch.Tensor, optimizer: OptimizerConfig, num_steps: int) -> torch.Tensor:
    decay = torch.tensor(1 - optimizer.lr * optimizer.wd, dtype=torch.float32)
    for _ in range(num_steps):
        values = values * decay
    return values


def unused(features: Sequence[int], n_features: int) -> list[int]:
    return sorted(set(range(n_features)) - set(features))


@pytest.mark.parametrize("width", [32, 64, 128])
def test_a_run_is_the_same_in_rows_of_any_width(width: int) -> None:
    runs = [using(run, [1, 7, 40, 63, 64, 99]) for run in make_runs(WIDE)[6:9]]
    assert_same(trained(runs, [5], WIDE, engine(features=width)), trained(runs, [5], WIDE, engine()))


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_run_is_the_same_beside_one_that_uses_more_and_in_pieces(
    monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    config = replace(CONFIG, hidden_width=64)
    monkeypatch.setattr(cuda, "steps_in_piece", lambda *counts: 2)
    runs = make_runs(config)[7:9]
    runs[0] = using(runs[0], SCATTERED)
    alone, _ = trained(runs[:1], [5], config, engine())
    together, _ = trained(runs, [3, 2], config, engine(blocks, num_clusters=2, seed=blocks))
    assert alone.most_trained_features == len(SCATTERED) < together.most_trained_features
    assert torch.equal(state_bits(alone, 0), state_bits(together, 0))


@pytest.mark.parametrize("features", [SCATTERED, [], [19]], ids=str)
def test_runs_follow_the_oracle(features: list[int]) -> None:
    runs = [using(run, features) for run in make_runs()[6:]]
    assert_equivalent(engine(), runs, replace(CONFIG, max_steps=12), torch.float32, 1e-5)


# Only the first word of a row, only the second, all of the first and some of the second, both.
@pytest.mark.parametrize(
    "features", [[0, 5, 63], [64, 80, 99], [*range(64), 70, 90], [3, 62, 63, 64, 65, 98, *range(20, 37)]], ids=str
)
def test_gradients_of_features_of_two_words(features: list[int]) -> None:
    run = using(make_run(77, 1.0, False, 1, WIDE), features)
    assert gradient_error(run, WIDE, engine()) <= 1e-6


@pytest.mark.slow
def test_rows_that_are_not_packed_are_seen(tmp_path: Path) -> None:
    source = mutated(tmp_path, "features.cuh", "row[word] & features.moved[word][i]", "0")
    run = using(make_run(77, 1.0, False, 1, CONFIG), SCATTERED)
    assert gradient_error(run, CONFIG, engine(source=source)) > 1e-2


@pytest.mark.parametrize("num_steps", [1, 5])
def test_weights_that_are_left_out_decay(num_steps: int) -> None:
    """Bit for bit as if they were trained: one step after the other, and their moments stay 0."""
    (run,) = [using(run, SCATTERED) for run in make_runs()[8:]]
    ensemble, _ = trained([run], [num_steps], CONFIG, engine())
    others = unused(SCATTERED, CONFIG.n_features)
    expected = decayed(weights(start([run]), 0)[:, others], run.optimizer, num_steps)
    assert torch.equal(weights(ensemble, 0)[:, others], expected)
    whole = start([run])
    whole.used.fill_(-1)
    (window,) = windows([run], [num_steps])
    engine().advance(whole, window)
    assert whole.most_trained_features == CONFIG.n_features
    assert torch.equal(weights(whole, 0)[:, others], expected)
    torch.testing.assert_close(ensemble.params, whole.params, rtol=1e-5, atol=1e-6)
    assert torch.equal(ensemble.exp_avg == 0, whole.exp_avg == 0)


def test_a_run_that_freezes_decays_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "steps_in_piece", lambda *counts: 3)
    optimizer = OptimizerConfig(lr=1e25, wd=1e-26, beta1=0.9, beta2=0.99)
    run = replace(using(make_runs()[0], SCATTERED), optimizer=optimizer)
    ensemble, (metrics,) = trained([run], [8], CONFIG, engine())
    num_batches = int(metrics.num_batches[0])
    assert 0 < num_batches < 8 and not ensemble.active[0]
    others = unused(SCATTERED, CONFIG.n_features)
    expected = decayed(weights(start([run]), 0)[:, others], optimizer, num_batches)
    assert torch.equal(weights(ensemble, 0)[:, others], expected)


def vast_and_unused() -> tuple[Run, TaskConfig]:
    """A run whose decay makes weights grow, of which one without a feature is the first to overflow."""
    run = using(make_runs()[8], SCATTERED)
    params = 1e-3 * run.params
    unflatten(params, parameter_shapes(CONFIG.n_features, CONFIG.hidden_width))["0.weight"][3, 0] = 1e25
    return replace(run, params=params, optimizer=OptimizerConfig(lr=1e-3, wd=1e13, beta1=0.9, beta2=0.99)), CONFIG


def test_a_weight_that_overflows_without_a_feature_freezes_the_run() -> None:
    run, config = vast_and_unused()
    assert start([run]).most_trained_features == config.n_features
    ends = [trained([run], [8], config, by) for by in (engine(), VmapEngine())]
    (ours, (metrics,)), (_, (expected,)) = ends
    assert metrics.num_batches.tolist() == expected.num_batches.tolist() == [2]
    assert not ours.active[0]
