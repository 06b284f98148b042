"""The CUDA kernel without a GPU: its own source on a CPU (`emulated_cuda`), and compiled for GPUs by NVRTC.

Tests on a real GPU are in test_cuda.py.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import emulated_cuda
import pytest
import torch
from conftest import CPU, golden
from emulated_cuda import HangError, assert_same, bits, engine, first_step, gradient_error, mutated, trained
from equivalence import (
    CONFIG,
    assert_equivalent,
    assert_first_gradients,
    assert_follows_trace,
    diverging,
    make_run,
    make_runs,
    start,
    state_bits,
    steady_trace,
    windows,
)

from vecparity.task.config import TaskConfig
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.training import reference
from vecparity.training.engines import cuda
from vecparity.training.engines.cuda import CudaEngine
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.loop import train
from vecparity.training.runs import Run

pytestmark = pytest.mark.skipif(emulated_cuda.why_not() is not None, reason=emulated_cuda.why_not() or "")

CASES = golden("traces")["cases"]
# Spread over one block of 8 warps with 4 tiles each, 2 blocks with 2, 4 with 1, and 8 of 4 warps.
SPREAD = replace(CONFIG, hidden_width=500)


def follow_trace(case: str, by: CudaEngine, num_runs: int | None = None) -> None:
    runs, config, expected = steady_trace(CASES, case, num_runs)
    assert_follows_trace(expected, runs, train(runs, config, by, [CPU], torch.float32, lambda closed: None))


def traced_engine(case: str, **options: Any) -> CudaEngine:
    return engine(2 if case.endswith("n64") else 1, **options)


def test_every_step_of_a_traced_run() -> None:
    follow_trace("isolated_cube_n64", traced_engine("n64"), num_runs=1)


@pytest.mark.slow
@pytest.mark.parametrize("truncates_sums", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_every_step_of_the_traces(case: str, truncates_sums: bool) -> None:
    """With sums of products that are rounded, and that are truncated as tensor cores do."""
    follow_trace(case, traced_engine(case, truncates_sums=truncates_sums))


def test_float32_follows_the_oracle() -> None:
    """Ragged batches, datasets smaller than one, hyperparameters of each run, saturated probabilities."""
    assert_equivalent(engine(), make_runs()[:6] + make_runs()[8:], replace(CONFIG, max_steps=12), torch.float32, 1e-5)


@pytest.mark.parametrize("strategy", ["default_4096", "isolated_cube", "clean_noisy_cube"])
@pytest.mark.parametrize("label", ["n32-k8", "n64-k8", pytest.param("n50-k8", marks=pytest.mark.slow)])
@pytest.mark.parametrize("truncates_sums", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_of_the_benchmarks_first_step(label: str, strategy: str, truncates_sums: bool) -> None:
    blocks = 1 if label == "n32-k8" else 2
    assert_first_gradients(engine(blocks, truncates_sums=truncates_sums), label, strategy, 1, CPU, 1e-6)


# Features, hidden units, batch, blocks: what needs no padding and what needs it everywhere.
SHAPES = [(64, 512, 128, 2), (6, 24, 5, 1), (33, 70, 40, 2), (70, 130, 100, 2), (128, 1024, 33, 8)]


@pytest.mark.parametrize("shape", [SHAPES[0], *(pytest.param(shape, marks=pytest.mark.slow) for shape in SHAPES[1:])])
@pytest.mark.parametrize("num_examples", [128, 77, 5, 1])
def test_gradients_of_one_step_are_the_float64_oracles(shape: tuple[int, int, int, int], num_examples: int) -> None:
    *sizes, blocks = shape
    names = ("n_features", "hidden_width", "batch_size")
    config = TaskConfig(**dict(zip(names, sizes, strict=True)), secret_size=1, num_hidden_secrets=1, test_set_size=1)
    run = make_run(num_examples, 1.0, False, num_examples, config)
    assert gradient_error(run, config, engine(blocks)) <= 1e-6
    assert gradient_error(run, config, engine(blocks, truncates_sums=True)) <= 1e-6


VAST = replace(CONFIG, n_features=20, hidden_width=24)
VAST_SHAPES = parameter_shapes(VAST.n_features, VAST.hidden_width)


def vast_run() -> Run:
    """Weights of 1e6 to 1e-30, in different units and in one; biases, too."""
    run = make_run(60, 1.0, False, 3, VAST)
    params = run.params.clone()
    parameters = unflatten(params, VAST_SHAPES)
    w1, b1, w2 = (parameters[name] for name in ("0.weight", "0.bias", "2.weight"))
    scales = 10.0 ** torch.linspace(6, -30, 13)
    w1[:13] *= scales[:, None]
    b1[:13] *= scales
    w2[0, :13] /= scales.clamp_min(1e-6)
    w1[13] *= 10.0 ** torch.linspace(6, -30, VAST.n_features)  # in one unit
    b1[13], w2[0, 13] = 1e-3, 1e-6
    b1[14], w2[0, 14] = 1e6, 1e-7
    w1[15], b1[15] = 0, 0
    return replace(run, params=params)


def unit_error(by: CudaEngine) -> float:
    """Of the gradients of a vast run's units, each relative to what is added up for that unit; or the loss's."""
    errors, gradients, loss_error = first_step(vast_run(), VAST, by)
    units = [
        torch.cat([part["0.weight"], part["0.bias"][:, None], part["2.weight"].T], dim=1)
        for part in (unflatten(one, VAST_SHAPES) for one in (errors, gradients.abs().sum(dim=0)))
    ]
    # dw2 has another size than dW1 and db1, and no part in their norm.
    worst = [loss_error]
    for columns in (slice(0, -1), slice(-1, None)):
        error, size = (one[:, columns].norm(dim=1) for one in units)
        worst.append(float((error / size)[size > 0].max()))
    return max(worst)


def test_weights_of_any_size() -> None:
    assert unit_error(engine()) <= 1e-6
    assert unit_error(engine(truncates_sums=True)) <= 1e-6
    assert_equivalent(engine(), [vast_run()], replace(VAST, max_steps=10), torch.float32, 1e-5)


@pytest.mark.slow
def test_one_scale_for_all_units_would_not_do(tmp_path: Path) -> None:
    source = mutated(tmp_path, "adamw.cuh", "Scale(bits_of(largest), 14)", "Scale(bits_of(4e6f), 14)")
    assert unit_error(engine(source=source)) > 1e-4


# ---- Invariance


@pytest.fixture(scope="module")
def spread() -> tuple[list[Run], tuple[Ensemble, list[WindowMetrics]]]:
    """Runs, and what became of them on one block each, together, in one window."""
    runs = make_runs(SPREAD)[3:7]
    return runs, trained(runs, [5], SPREAD, engine())


@pytest.mark.parametrize(
    "blocks", [8, pytest.param(2, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_a_run_is_the_same_on_any_number_of_blocks(spread: Any, blocks: int) -> None:
    runs, expected = spread
    assert_same(trained(runs, [5], SPREAD, engine(blocks)), expected)


@pytest.mark.parametrize("blocks", [1, 8])
def test_a_run_is_the_same_wherever_windows_are_cut(spread: Any, blocks: int) -> None:
    runs, expected = spread
    assert_same(trained(runs, [1, 1, 3], SPREAD, engine(blocks)), expected)


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("blocks", [1, 8])
def test_a_run_is_the_same_in_whatever_order_threads_and_clusters_go_on(
    spread: Any, monkeypatch: pytest.MonkeyPatch, blocks: int, seed: int
) -> None:
    """Clusters that draw pieces of 2 steps, and have to wait for each other where there are as many as runs."""
    monkeypatch.setattr(cuda, "steps_in_piece", lambda *counts: 2)
    runs, expected = spread
    assert_same(trained(runs, [5], SPREAD, engine(blocks, num_clusters=seed, seed=seed)), expected)


def test_a_run_is_the_same_whatever_shares_the_ensemble(spread: Any) -> None:
    runs, (together, _) = spread
    for order in ([2], [3, 0]):
        ensemble, _ = trained([runs[index] for index in order], [5], SPREAD, engine())
        for position, index in enumerate(order):
            assert torch.equal(state_bits(ensemble, position), state_bits(together, index))


@pytest.mark.parametrize("num_clusters", [1, 2, 9])
def test_frozen_and_diverging_runs(monkeypatch: pytest.MonkeyPatch, num_clusters: int) -> None:
    """One is frozen before, one as its loss ceases to be finite: in pieces as in one go, and as the oracle has it."""
    monkeypatch.setattr(cuda, "steps_in_piece", lambda *counts: 2)
    runs = make_runs()
    runs[1] = diverging(runs[1])
    ensemble = start(runs)
    ensemble.active[3] = False
    before = state_bits(ensemble, 3)
    by = engine(num_clusters=num_clusters, seed=num_clusters)
    first, second = (by.advance(ensemble, window) for window in windows(runs, [5, 3]))
    num_batches = first.num_batches + second.num_batches
    (oracle,) = reference.train([runs[1]], replace(CONFIG, max_steps=8), CPU, torch.float32, lambda closed: None)
    assert torch.equal(state_bits(ensemble, 3), before)
    assert num_batches[3] == 0 and 0 < num_batches[1] < 5
    assert num_batches[1] == sum(loss == loss and abs(loss) < float("inf") for loss in oracle.curve.loss)
    assert [int(count) for run, count in enumerate(num_batches) if run not in (1, 3)] == [8] * 7
    assert ensemble.active.tolist() == [run not in (1, 3) for run in range(len(runs))]
    assert (first.loss + second.loss).isfinite().all()
    assert ensemble.step == 8


INFINITY = float("inf")


def with_infinity(name: str, value: float, b1: float) -> Run:
    """A run with one infinite parameter: b2, or the w2 of a unit of which b1 decides in which rows h is positive."""
    run = make_runs()[0]
    params = run.params.clone()
    parameters = unflatten(params, parameter_shapes(CONFIG.n_features, CONFIG.hidden_width))
    parameters["0.bias"][3] = b1
    parameters[name].view(-1)[3 if name == "2.weight" else 0] = value
    return replace(run, params=params)


# In all rows, in some, in none. A sum over infinity and 0 is NaN at once; a saturated p passes no gradient, but that 0
# times an infinite w2 is NaN a step later; an infinite b2 is multiplied by nothing.
@pytest.mark.parametrize(
    ("name", "b1", "num_batches"),
    [("2.bias", 0.0, 4), ("2.weight", 50.0, 1), ("2.weight", 0.0, 0), ("2.weight", -50.0, 0)],
)
@pytest.mark.parametrize("value", [INFINITY, -INFINITY])
@pytest.mark.parametrize("wd", [0.0, 0.3])
def test_infinite_parameters_freeze_a_run_where_vmap_does(
    name: str, value: float, b1: float, num_batches: int, wd: float
) -> None:
    run = with_infinity(name, value, b1)
    run = replace(run, optimizer=replace(run.optimizer, wd=wd))
    (ours, (metrics,)), (theirs, (expected,)) = (trained([run], [4], CONFIG, by) for by in (engine(), VmapEngine()))
    assert metrics.num_batches.tolist() == expected.num_batches.tolist() == [num_batches]
    assert ours.active.tolist() == theirs.active.tolist() == [num_batches == 4]
    torch.testing.assert_close(metrics.loss, expected.loss, rtol=1e-6, atol=0)
    assert torch.equal(metrics.accuracy, expected.accuracy)
    assert torch.equal(ours.params.isfinite(), theirs.params.isfinite())


# ---- Barriers: in which file, and after how many others like it

BARRIERS = {
    "rows": ("train_window.cu", "block_barrier();", 0),
    "z of warps": ("train_window.cu", "block_barrier();", 1),
    "errors": ("train_window.cu", "block_barrier();", 2),
    "error terms": ("train_window.cu", "block_barrier();", 3),
    "the batch's end": ("train_window.cu", "block_barrier();", 4),
    "the piece before": ("train_window.cu", "block_barrier();", 5),
    "z of blocks": ("head.cuh", "cluster_barrier();", 0),
    "tickets": ("train_window.cu", "run_barrier();", 0),
    "the piece's end": ("train_window.cu", "run_barrier();", 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("barrier", BARRIERS)
def test_a_barrier_that_is_taken_out_is_seen(
    spread: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, barrier: str
) -> None:
    monkeypatch.setattr(cuda, "steps_in_piece", lambda *counts: 2)
    runs, (together, _) = spread
    runs, expected = runs[:2], bits(together)[:2]
    file, text, occurrence = BARRIERS[barrier]
    source = mutated(tmp_path, file, text, "", occurrence)

    def is_same(seed: int) -> bool:
        try:
            ensemble, _ = trained(runs, [5], SPREAD, engine(8, num_clusters=2, seed=seed, source=source))
        except HangError:
            return False
        return torch.equal(bits(ensemble), expected)

    assert not all(is_same(seed) for seed in range(1, 6))
