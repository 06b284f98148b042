"""The engines on a real CUDA device, compared with the original's figures, float64 and itself."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import emulated_cuda
import equivalence
import pytest
import torch
from conftest import CPU, golden
from equivalence import (
    CONFIG,
    assert_first_gradients,
    assert_follows_trace,
    diverging,
    start,
    state_bits,
    steady_trace,
    windows,
)

from vecparity import evaluate
from vecparity.errors import InterruptedTrainingError
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig, task_config
from vecparity.task.seeds import PublicSeeds
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.checkpoints.snapshot_coherence import Training
from vecparity.training.engines.names import EngineName
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.loop import train
from vecparity.training.runs import Run, make_runs

pytestmark = pytest.mark.gpu
CASES = golden("traces")["cases"]
CUDA = torch.device("cuda")


def make_engine(name: str) -> Any:
    if name == "vmap":
        return VmapEngine()
    if name == "cuda":
        pytest.importorskip("cuda.core")
        from vecparity.training.engines.cuda import CudaEngine

        return CudaEngine()
    pytest.importorskip("triton")
    from vecparity.training.engines.triton import TritonEngine

    return TritonEngine()


@pytest.mark.parametrize("name", ["vmap", "triton", "cuda"])
@pytest.mark.parametrize("case", CASES)
def test_every_step_of_the_traces(case: str, name: str) -> None:
    runs, config, expected = steady_trace(CASES, case)
    ends = train(runs, config, make_engine(name), [CUDA], torch.float32, lambda closed: None)
    assert_follows_trace(expected, runs, ends)


@pytest.mark.parametrize("strategy", ["default_4096", "isolated_cube", "clean_noisy_cube"])
@pytest.mark.parametrize("label", ["n32-k8", "n50-k8", "n64-k8"])
@pytest.mark.parametrize(("name", "tolerance"), [("triton", 2e-6), ("cuda", 1e-6)])
def test_gradients_of_the_benchmarks_first_step(label: str, strategy: str, name: str, tolerance: float) -> None:
    assert_first_gradients(make_engine(name), label, strategy, 10, CUDA, tolerance)


def final_params(
    name: str, runs: list[Run], order: list[int], config: TaskConfig, lengths: Sequence[int] = (1, 49, 50)
) -> torch.Tensor:
    chosen = [runs[index] for index in order]
    ensemble = Ensemble.start(chosen, config.hidden_width, CUDA)
    for window in windows(chosen, list(lengths), config):
        make_engine(name).advance(ensemble, window)
    return ensemble.params.cpu().view(torch.int32)


@pytest.mark.parametrize("name", ["triton", "cuda"])
def test_a_run_is_the_same_alone_among_99_others_and_in_any_order(name: str) -> None:
    """With `cuda` alone on 8 blocks, of 15 on 8, of 30 on 4, and of 100 on 2, in pieces."""
    config = task_config("n64-k8", test_set_size=1)
    runs = make_runs([(interface.load(load("default_4096")), PublicSeeds(42))], config)
    together = final_params(name, runs, list(range(100)), config)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1)).tolist()
    for chosen in (order, order[:30], order[:15], [37]):
        assert torch.equal(final_params(name, runs, chosen, config), together[chosen])
    assert torch.equal(final_params(name, runs, [37], config, [17, 83])[0], together[37])


@pytest.mark.parametrize("engine", ["vmap", "triton", "cuda"])
def test_two_evaluations_are_the_same(engine: EngineName) -> None:
    make_engine(engine)  # or skip
    first, second = (evaluate("isolated_cube", "n64-k8", engine=engine, smoke=True, device="cuda") for _ in range(2))
    assert first.results == second.results
    assert first.curves == second.curves


def test_vmap_goes_on_with_fewer_runs() -> None:
    """On CUDA what was recorded for more runs serves until half of them have stopped."""
    runs = equivalence.make_runs()
    states = {device: Ensemble.start(runs, CONFIG.hidden_width, device, torch.float64) for device in (CPU, CUDA)}
    engines = {device: VmapEngine() for device in states}
    kept = [list(range(9)), [8, 0, 2, 4, 6], [3, 1, 0], [1]]
    for chosen in kept:
        states = {device: ensemble.take(torch.tensor(chosen)) for device, ensemble in states.items()}
        runs = [runs[index] for index in chosen]
        for window in windows(runs, [1, 6]):
            metrics = {device: engines[device].advance(ensemble, window) for device, ensemble in states.items()}
            torch.testing.assert_close(metrics[CUDA].loss.cpu(), metrics[CPU].loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(states[CUDA].params.cpu(), states[CPU].params, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["vmap", "triton", "cuda"])
def test_a_training_that_was_interrupted_ends_bitwise_the_same(name: str, tmp_path: Path) -> None:
    """By engines that know nothing of what was trained before."""
    config = replace(
        CONFIG, hidden_width=32, max_steps=200, log_interval=10, early_stop_acc=0.65, min_steps_before_stop=20
    )
    runs = equivalence.make_runs(config)
    expected = train(runs, config, make_engine(name), [CUDA], torch.float32, lambda closed: None)
    assert len({end.steps for end in expected}) > 2  # fewer runs go on than began
    for _ in range(4):
        pieces = iter(range(5))
        with closing(Checkpoints(tmp_path, "t", {}, seconds=1000)) as checkpoints:
            if checkpoints.resume(Training(config, torch.float32)) is None:
                checkpoints.begin(runs)
            with pytest.raises(InterruptedTrainingError):
                train(
                    *(runs, config, make_engine(name), [CUDA], torch.float32, lambda closed: None, checkpoints),
                    stop_requested=lambda: next(pieces) == 4,  # noqa: B023
                )
    with closing(Checkpoints(tmp_path, "t", {})) as checkpoints:
        found = checkpoints.resume(Training(config, torch.float32))
        assert found is not None
        arguments = (found, config, make_engine(name), [CUDA], torch.float32)
        assert train(*arguments, lambda closed: None, checkpoints) == expected


@pytest.mark.parametrize("name", ["triton", "cuda"])
def test_runs_shared_out_are_bitwise_the_same(name: str) -> None:
    """Among all GPUs there are, or, where there is one, in two parts that it trains one after the other."""
    config = replace(CONFIG, hidden_width=32, max_steps=200, log_interval=10, early_stop_acc=0.65)
    runs = equivalence.make_runs(config)
    first = torch.device("cuda", 0)
    several = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    devices = several if len(several) > 1 else [first, first]
    alone, shared = (
        train(runs, config, make_engine(name), where, torch.float32, lambda closed: None)
        for where in ([first], devices)
    )
    assert shared == alone


def test_cuda_is_the_emulators_in_what_it_does_to_every_run() -> None:
    """Short batches, datasets of one row, saturated probabilities, frozen and diverging runs: within roundings."""
    if problem := emulated_cuda.why_not():
        pytest.skip(problem)
    runs = equivalence.make_runs()
    runs[1] = diverging(runs[1])
    states, counts = {}, {}
    for device, engine in ((CPU, emulated_cuda.engine()), (CUDA, make_engine("cuda"))):
        ensemble = Ensemble.start(runs, CONFIG.hidden_width, device)
        ensemble.active[3] = False
        counts[device] = [engine.advance(ensemble, window).num_batches.cpu() for window in windows(runs, [1, 6])]
        states[device] = ensemble
    assert all(torch.equal(*pair) for pair in zip(counts[CPU], counts[CUDA], strict=True))
    assert torch.equal(states[CUDA].active.cpu(), states[CPU].active)
    assert torch.equal(state_bits(states[CUDA], 3).cpu(), state_bits(start(runs), 3))
    live = [run for run in range(len(runs)) if run != 1]
    torch.testing.assert_close(states[CUDA].params.cpu()[live], states[CPU].params[live], rtol=1e-4, atol=1e-5)
