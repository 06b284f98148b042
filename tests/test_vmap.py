from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import CPU
from equivalence import CONFIG, assert_equivalent, make_runs, train_silently
from torch.nn.functional import binary_cross_entropy_with_logits

from vecparity.engines import vmap
from vecparity.engines.vmap import VmapEngine
from vecparity.ensemble import Ensemble
from vecparity.errors import MachineError
from vecparity.runs import Run
from vecparity.schedule import Schedule, Window
from vecparity.spec import OptimizerConfig


def start(runs: list[Run], dtype: torch.dtype = torch.float32) -> Ensemble:
    return Ensemble.start(runs, CONFIG.hidden_width, CPU, dtype)


def windows(runs: list[Run], lengths: list[int]) -> Iterator[Window]:
    sizes, seeds = [run.dataset.num_examples for run in runs], [run.ordering_seed for run in runs]
    with Schedule(sizes, seeds, CONFIG.batch_size, lengths) as schedule:
        yield from schedule


def state_bits(ensemble: Ensemble, run: int) -> torch.Tensor:
    state = torch.stack([ensemble.params[run], ensemble.exp_avg[run], ensemble.exp_avg_sq[run]])
    return state.view(torch.int32)


def diverging(run: Run) -> Run:
    return replace(run, optimizer=OptimizerConfig(lr=1e30, wd=0.1, beta1=0.9, beta2=0.99))


@pytest.mark.parametrize("chunk_runs", [None, 2])
def test_float64_follows_the_oracle(chunk_runs: int | None) -> None:
    assert_equivalent(VmapEngine(chunk_runs), make_runs(), CONFIG, torch.float64, 1e-12)


def test_float32_follows_the_oracle() -> None:
    config = replace(CONFIG, max_steps=10)
    assert_equivalent(VmapEngine(), make_runs(config)[:6], config, torch.float32, 1e-5)


def test_the_comparison_covers_saturated_probabilities() -> None:
    ensemble = start(make_runs(), torch.float64)
    gradients = vmap.stacked_gradients(CONFIG.n_features, CONFIG.hidden_width)
    x = torch.randint(0, 2, (2, 64, CONFIG.n_features)).double()
    y, is_row, lengths = torch.zeros(2, 64).double(), torch.ones(2, 64).double(), torch.tensor([64.0, 64.0]).double()
    _, loss, _ = gradients(ensemble.params[6:8], x, y, is_row, lengths)
    # A wrong probability of exactly 1 costs 100 nats, one that float64 can still tell from 1 costs at most 37.
    assert (loss > 37).any()


def test_runs_that_stop_at_different_windows_follow_the_oracle() -> None:
    config = replace(
        CONFIG, max_steps=60, log_interval=5, min_steps_before_stop=10, early_stop_acc=0.7, early_stop_windows=2
    )
    runs = make_runs(config)
    assert_equivalent(VmapEngine(chunk_runs=4), runs, config, torch.float64, 1e-12)
    steps = {end.steps for end in train_silently(runs, config, VmapEngine(), torch.float64)}
    assert len(steps) >= 3, steps


def test_a_wrong_beta2_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = vmap.coefficients

    def wrong(lr: Any, wd: Any, beta1: Any, beta2: Any, *rest: Any) -> Any:
        return right(lr, wd, beta1, beta2 * (1 - 1e-9), *rest)

    monkeypatch.setattr(vmap, "coefficients", wrong)
    with pytest.raises(AssertionError, match=r"secret=0 order=0, loss: .*not close"):
        assert_equivalent(VmapEngine(), make_runs(), CONFIG, torch.float64, 1e-12)


def test_hyperparameters_folded_into_one_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = vmap.coefficients

    def folded(lr: Any, wd: Any, beta1: Any, beta2: Any, *rest: Any) -> Any:
        return right(lr.mean().expand_as(lr), wd, beta1, beta2, *rest)

    monkeypatch.setattr(vmap, "coefficients", folded)
    with pytest.raises(AssertionError, match=r"secret=0 order=0, loss: .*not close"):
        assert_equivalent(VmapEngine(), make_runs(), CONFIG, torch.float64, 1e-12)


def test_a_loss_on_logits_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_logits(p: torch.Tensor, y: torch.Tensor, **options: Any) -> torch.Tensor:
        return binary_cross_entropy_with_logits(torch.logit(p), y, **options)

    runs = make_runs()
    # Where no probability saturates the two are one and the same: the check would pass.
    monkeypatch.setattr(vmap, "binary_cross_entropy", on_logits)
    assert_equivalent(VmapEngine(), runs[:2], replace(CONFIG, max_steps=5), torch.float64, 1e-12)
    with pytest.raises(AssertionError, match=r"secret=2 order=1"):
        assert_equivalent(VmapEngine(), [runs[7]], CONFIG, torch.float64, 1e-12)


def test_a_runs_result_does_not_depend_on_the_order_of_the_runs() -> None:
    runs = make_runs()
    order = [4, 8, 0, 2, 7, 6, 1, 5, 3]
    ends = train_silently(runs, CONFIG, VmapEngine(), torch.float32)
    shuffled = train_silently([runs[run] for run in order], CONFIG, VmapEngine(), torch.float32)
    for position, run in enumerate(order):
        assert shuffled[position].curve == ends[run].curve
        assert shuffled[position].test_accuracy == ends[run].test_accuracy


def test_chunks_change_nothing() -> None:
    runs = make_runs()
    whole = train_silently(runs, CONFIG, VmapEngine(), torch.float64)
    for chunk_runs in (1, 4):
        for ours, theirs in zip(
            train_silently(runs, CONFIG, VmapEngine(chunk_runs), torch.float64), whole, strict=True
        ):
            torch.testing.assert_close(ours.curve.loss, theirs.curve.loss, rtol=1e-12, atol=1e-12)


def test_frozen_runs_stay_bit_identical() -> None:
    runs = make_runs()
    ensemble = start(runs)
    first, second = windows(runs, [7, 9])
    VmapEngine(4).advance(ensemble, first)
    before = {run: state_bits(ensemble, run) for run in range(len(runs))}
    frozen = [0, 4, 8]
    ensemble.active[frozen] = False
    metrics = VmapEngine(4).advance(ensemble, second)
    for run in range(len(runs)):
        assert torch.equal(state_bits(ensemble, run), before[run]) == (run in frozen)
        assert metrics.num_batches[run] == (0 if run in frozen else 9)
        assert metrics.loss[run] == 0 or run not in frozen


def test_a_diverging_run_is_frozen_where_its_loss_ceased_to_be_finite() -> None:
    runs = make_runs()
    runs[1] = diverging(runs[1])
    ensemble, alone = start(runs), start(runs)
    (window,) = windows(runs, [20])
    metrics = VmapEngine().advance(ensemble, window)
    until = int(metrics.num_batches[1])
    assert 0 < until < 20
    assert ensemble.active.tolist() == [run != 1 for run in range(len(runs))]
    assert metrics.num_batches.tolist() == [until if run == 1 else 20 for run in range(len(runs))]
    assert metrics.loss.isfinite().all()
    # Its state is that after the last step whose loss was finite, bit for bit.
    VmapEngine().advance(alone, Window(window.indices[:, :until].contiguous(), window.lengths[:, :until].contiguous()))
    assert torch.equal(state_bits(ensemble, 1), state_bits(alone, 1))


def test_a_diverging_run_does_not_disturb_the_others() -> None:
    runs = make_runs()
    with_it = [diverging(runs[0]), *runs[1:]]
    ends = train_silently(runs, CONFIG, VmapEngine(), torch.float32)
    others = train_silently(with_it, CONFIG, VmapEngine(), torch.float32)
    assert others[0].diverged
    for run in range(1, len(runs)):
        assert others[run].curve == ends[run].curve


def test_windows_may_be_cut_anywhere() -> None:
    runs = make_runs()
    whole, cut = start(runs), start(runs)
    for lengths, ensemble in (([12], whole), ([1, 4, 7], cut)):
        for window in windows(runs, lengths):
            VmapEngine().advance(ensemble, window)
    assert whole.step == cut.step == 12
    assert torch.equal(whole.params.view(torch.int32), cut.params.view(torch.int32))


# What torch 2.13 says on a CPU; on CUDA it raises torch.OutOfMemoryError.
CPU_OUT_OF_MEMORY = RuntimeError(
    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"
)


@pytest.mark.parametrize("error", [CPU_OUT_OF_MEMORY, torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_out_of_memory_halves_the_chunk_and_goes_on(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    advance_chunk = VmapEngine._advance_chunk
    sizes = []

    def little_memory(engine: VmapEngine, ensemble: Ensemble, window: Window, runs: slice) -> Any:
        sizes.append(len(ensemble.params[runs]))
        if sizes[-1] > 2:
            raise error
        return advance_chunk(engine, ensemble, window, runs)

    runs = make_runs()
    expected, ensemble = start(runs), start(runs)
    (window,) = windows(runs, [5])
    plain = VmapEngine(2).advance(expected, window)
    monkeypatch.setattr(VmapEngine, "_advance_chunk", little_memory)
    with pytest.warns(UserWarning, match="out of memory: going on with --chunk-runs [42]"):
        metrics = VmapEngine(100).advance(ensemble, window)
    assert sorted(sizes, reverse=True) == [9, 4, 4, 2, 2, 2, 2, 1]  # in turn or at once
    assert torch.equal(metrics.loss, plain.loss)
    assert torch.equal(ensemble.params, expected.params)


def test_out_of_memory_with_one_run_names_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*arguments: Any) -> None:
        raise CPU_OUT_OF_MEMORY

    monkeypatch.setattr(VmapEngine, "_advance_chunk", no_memory)
    runs = make_runs()
    (window,) = windows(runs, [1])
    with pytest.raises(MachineError, match=r"out of memory with --chunk-runs 1: .*DefaultCPUAllocator"):
        VmapEngine(1).advance(start(runs), window)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(VmapEngine, "_advance_chunk", broken)
    runs = make_runs()
    (window,) = windows(runs, [1])
    with pytest.raises(RuntimeError, match="a bug"):
        VmapEngine().advance(start(runs), window)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_cuda_follows_the_cpu(dtype: torch.dtype, tolerance: float) -> None:
    runs = make_runs()
    (window,) = windows(runs, [10])
    on_cpu, on_cuda = start(runs, dtype), Ensemble.start(runs, CONFIG.hidden_width, torch.device("cuda"), dtype)
    expected, metrics = VmapEngine().advance(on_cpu, window), VmapEngine().advance(on_cuda, window)
    torch.testing.assert_close(metrics.loss.cpu(), expected.loss, rtol=tolerance, atol=tolerance)
