import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from equivalence import CONFIG, assert_equivalent, make_runs, start, train_silently, windows
from torch.nn.functional import binary_cross_entropy_with_logits

from vecparity.errors import MachineError
from vecparity.training import ensemble as ensembles
from vecparity.training.engines import steps, vmap
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.schedule import Window


@pytest.mark.parametrize("chunk_runs", [None, 2])
def test_float64_follows_the_oracle(chunk_runs: int | None) -> None:
    assert_equivalent(VmapEngine(chunk_runs), make_runs(), CONFIG, torch.float64, 1e-12)


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
    right = ensembles.coefficients

    def wrong(lr: Any, wd: Any, beta1: Any, beta2: Any, *rest: Any) -> Any:
        return right(lr, wd, beta1, beta2 * (1 - 1e-9), *rest)

    monkeypatch.setattr(ensembles, "coefficients", wrong)
    with pytest.raises(AssertionError, match=r"secret=0 order=0, loss: .*not close"):
        assert_equivalent(VmapEngine(), make_runs(), CONFIG, torch.float64, 1e-12)


def test_hyperparameters_folded_into_one_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ensembles.coefficients

    def folded(lr: Any, wd: Any, beta1: Any, beta2: Any, *rest: Any) -> Any:
        return right(lr.mean().expand_as(lr), wd, beta1, beta2, *rest)

    monkeypatch.setattr(ensembles, "coefficients", folded)
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


def test_padding_changes_nothing() -> None:
    """As runs stop, what was recorded for more of them goes on with frozen ones; windows may be short of steps."""
    runs = make_runs()
    padded, plain = start(runs, torch.float64), start(runs, torch.float64)
    gradients = vmap.stacked_gradients(CONFIG.n_features, CONFIG.hidden_width)
    made = steps.Steps(padded, 12, 20, CONFIG.batch_size, gradients)
    for window in windows(runs, [13, 5]):
        expected = VmapEngine(9).advance(plain, window)
        metrics = made.advance(padded, window, slice(0, 9))
        padded.step += window.num_steps
        torch.testing.assert_close(metrics.loss, expected.loss, rtol=1e-12, atol=1e-12)
        assert torch.equal(metrics.num_batches, expected.num_batches)
    torch.testing.assert_close(padded.params, plain.params, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_chunks_change_nothing() -> None:
    runs = make_runs()
    whole = train_silently(runs, CONFIG, VmapEngine(), torch.float64)
    for chunk_runs in (1, 4):
        for ours, theirs in zip(
            train_silently(runs, CONFIG, VmapEngine(chunk_runs), torch.float64), whole, strict=True
        ):
            torch.testing.assert_close(ours.curve.loss, theirs.curve.loss, rtol=1e-12, atol=1e-12)


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
    with pytest.warns(UserWarning, match="out of memory: continuing with --chunk-runs [42]"):
        metrics = VmapEngine(100).advance(ensemble, window)
    assert sorted(sizes, reverse=True) == [9, 4, 4, 2, 2, 2, 2, 1]  # in turn or at once
    assert torch.equal(metrics.loss, plain.loss)
    assert torch.equal(ensemble.params, expected.params)


def test_what_did_not_fit_is_let_go_before_less_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    refused: list[weakref.ref[torch.Tensor]] = []
    still_there: list[int] = []

    class LittleMemory(steps.Steps):
        def __init__(self, ensemble: Ensemble, num_runs: int, *sizes: Any) -> None:
            tried.append(num_runs)
            still_there.extend(num_runs for tensor in refused if tensor() is not None)
            if num_runs > 4:
                allocated_at_first = torch.zeros(num_runs)
                refused.append(weakref.ref(allocated_at_first))
                raise RuntimeError(*CPU_OUT_OF_MEMORY.args)
            super().__init__(ensemble, num_runs, *sizes)

    monkeypatch.setattr(vmap, "Steps", LittleMemory)
    runs = make_runs()
    (window,) = windows(runs, [1])
    with pytest.warns(UserWarning, match="out of memory: continuing with --chunk-runs 4"):
        VmapEngine(9).advance(start(runs), window)
    assert sorted(tried, reverse=True) == [9, 4, 4, 1]  # in turn or at once
    assert not still_there


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


def test_other_threads_may_allocate_while_a_step_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's default error mode would end the recording when the schedule's thread allocates the next window."""
    modes: list[str] = []

    @contextmanager
    def graph(recorded: object, capture_error_mode: str = "global") -> Iterator[None]:
        modes.append(capture_error_mode)
        yield

    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    gradients = vmap.stacked_gradients(CONFIG.n_features, CONFIG.hidden_width)
    steps.Steps(start(make_runs()), 9, 5, CONFIG.batch_size, gradients).capture()
    assert modes == ["thread_local"]


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_cuda_follows_the_cpu(dtype: torch.dtype, tolerance: float) -> None:
    runs = make_runs()
    (window,) = windows(runs, [10])
    on_cpu, on_cuda = start(runs, dtype), Ensemble.start(runs, CONFIG.hidden_width, torch.device("cuda"), dtype)
    expected, metrics = VmapEngine().advance(on_cpu, window), VmapEngine().advance(on_cuda, window)
    torch.testing.assert_close(metrics.loss.cpu(), expected.loss, rtol=tolerance, atol=tolerance)
