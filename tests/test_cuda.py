"""The real thing: on a CUDA device, against the original's figures, float64 and itself."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import equivalence
import pytest
import torch
from conftest import CPU, golden
from equivalence import CONFIG, assert_first_gradients, assert_follows_trace, trace_runs, windows

from vecparity import evaluate, interface
from vecparity.checkpoint import Checkpoints
from vecparity.choice import EngineName
from vecparity.engines.vmap import VmapEngine
from vecparity.ensemble import Ensemble
from vecparity.errors import InterruptedTrainingError
from vecparity.runs import Run, make_runs
from vecparity.seeds import PublicSeeds
from vecparity.snapshot_coherence import Training
from vecparity.spec import TaskConfig, task_config
from vecparity.strategy import load
from vecparity.train import train

pytestmark = pytest.mark.gpu
CASES = golden("traces")["cases"]
CUDA = torch.device("cuda")


def make_engine(name: str) -> Any:
    if name == "vmap":
        return VmapEngine()
    pytest.importorskip("triton")
    from vecparity.engines.triton import TritonEngine

    return TritonEngine()


@pytest.mark.parametrize("name", ["vmap", "triton"])
@pytest.mark.parametrize("case", CASES)
def test_every_step_of_the_traces(case: str, name: str) -> None:
    runs, config = trace_runs(CASES[case])
    ends = train(runs, config, make_engine(name), CUDA, torch.float32, lambda closed: None)
    assert_follows_trace(CASES[case], runs, ends)


@pytest.mark.parametrize("strategy", ["default_4096", "isolated_cube", "clean_noisy_cube"])
@pytest.mark.parametrize("label", ["n32-k8", "n50-k8", "n64-k8"])
def test_gradients_of_the_benchmarks_first_step(label: str, strategy: str) -> None:
    assert_first_gradients(make_engine("triton"), label, strategy, 10, CUDA, 2e-6)


def final_params(runs: list[Run], order: list[int], config: TaskConfig) -> torch.Tensor:
    chosen = [runs[index] for index in order]
    ensemble = Ensemble.start(chosen, config.hidden_width, CUDA)
    for window in windows(chosen, [1, 49, 50], config):
        make_engine("triton").advance(ensemble, window)
    return ensemble.params.cpu().view(torch.int32)


def test_a_run_is_the_same_alone_among_99_others_and_in_any_order() -> None:
    config = task_config("n64-k8", test_set_size=1)
    runs = make_runs([(interface.load(load("default_4096")), PublicSeeds(42))], config)
    together = final_params(runs, list(range(100)), config)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1)).tolist()
    assert torch.equal(final_params(runs, order, config), together[order])
    assert torch.equal(final_params(runs, [37], config)[0], together[37])


@pytest.mark.parametrize("engine", ["vmap", "triton"])
def test_two_evaluations_are_the_same(engine: EngineName) -> None:
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


@pytest.mark.parametrize("name", ["vmap", "triton"])
def test_a_training_that_was_interrupted_ends_bitwise_the_same(name: str, tmp_path: Path) -> None:
    """By engines that know nothing of what was trained before."""
    config = replace(
        CONFIG, hidden_width=32, max_steps=200, log_interval=10, early_stop_acc=0.65, min_steps_before_stop=20
    )
    runs = equivalence.make_runs(config)
    expected = train(runs, config, make_engine(name), CUDA, torch.float32, lambda closed: None)
    assert len({end.steps for end in expected}) > 2  # fewer runs go on than began
    for _ in range(4):
        pieces = iter(range(5))
        with closing(Checkpoints(tmp_path, "t", {}, seconds=1000)) as checkpoints:
            if checkpoints.resume(Training(config, torch.float32)) is None:
                checkpoints.begin(runs)
            with pytest.raises(InterruptedTrainingError):
                train(
                    *(runs, config, make_engine(name), CUDA, torch.float32, lambda closed: None, checkpoints),
                    stop_requested=lambda: next(pieces) == 4,  # noqa: B023
                )
    with closing(Checkpoints(tmp_path, "t", {})) as checkpoints:
        found = checkpoints.resume(Training(config, torch.float32))
        assert found is not None
        arguments = (found, config, make_engine(name), CUDA, torch.float32)
        assert train(*arguments, lambda closed: None, checkpoints) == expected
