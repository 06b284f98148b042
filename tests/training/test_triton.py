"""The Triton kernel on small shapes, in Triton's interpreter, without a GPU."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from equivalence import (
    CONFIG,
    assert_equivalent,
    diverging,
    make_run,
    make_runs,
    oracle_gradients,
    start,
    state_bits,
    windows,
)

triton = pytest.importorskip("triton")
pytestmark = [
    # Of exp and log, where float64's are taken of saturated z and p.
    pytest.mark.filterwarnings("ignore:overflow encountered"),
    pytest.mark.filterwarnings("ignore:divide by zero encountered"),
    pytest.mark.filterwarnings("ignore:invalid value encountered"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="tests of the real thing are marked gpu"),
]

from vecparity.errors import MachineError, UsageError  # noqa: E402
from vecparity.kernels.triton import train_window  # noqa: E402
from vecparity.task.config import TaskConfig  # noqa: E402
from vecparity.training.engines.triton import TritonEngine  # noqa: E402

SMALL = replace(CONFIG, hidden_width=32, batch_size=16, max_steps=5)


def test_float32_follows_the_oracle() -> None:
    """Ragged batches, datasets smaller than one, hyperparameters of each run, saturated probabilities."""
    runs = make_runs(SMALL)
    assert_equivalent(TritonEngine(), [*runs[:6], runs[8]], SMALL, torch.float32, 1e-5)


SHAPES = [(20, 32, 16), (70, 48, 16), (6, 16, 5), (130, 64, 33)]


def gradient_error(n_features: int, hidden_width: int, batch_size: int, saturates: bool) -> float:
    """Of the first step, relative to float64's."""
    sizes = {"n_features": n_features, "hidden_width": hidden_width, "batch_size": batch_size}
    config = TaskConfig(**sizes, secret_size=1, num_hidden_secrets=1, test_set_size=1)
    run = make_run(40, 1.0, saturates, 1, config)
    ensemble = start([run], config=config)
    (window,) = windows([run], [1], config)
    gradients, _, _ = oracle_gradients(run, window.indices[0, 0].long()[: int(window.lengths[0, 0])], hidden_width)
    TritonEngine().advance(ensemble, window)
    expected = gradients.sum(dim=0)
    return float((ensemble.exp_avg[0].double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("saturates", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_one_step_are_the_float64_oracles(shape: tuple[int, int, int], saturates: bool) -> None:
    assert gradient_error(*shape, saturates) <= 2e-6


def test_products_of_tf32_are_not_accurate_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    tl = triton.language

    @triton.jit  # type: ignore[untyped-decorator]
    def to_tf32(x: Any, dot_type: Any) -> Any:
        high = ((x.to(tl.int32, bitcast=True) + 0x1000) & -0x2000).to(tl.float32, bitcast=True)
        return high.to(dot_type), (high * 0).to(dot_type), (high * 0).to(dot_type)

    to_tf32.fn.__globals__["tl"] = tl
    monkeypatch.setattr(train_window, "_split", to_tf32)
    assert all(2e-6 < gradient_error(*shape, False) < 1e-2 for shape in SHAPES)


@pytest.fixture
def two_windows() -> Iterator[Any]:
    return windows(make_runs(SMALL), [2, 3], SMALL)


def test_a_run_is_the_same_whatever_shares_the_ensemble(two_windows: Any) -> None:
    runs = make_runs(SMALL)
    together = start(runs, config=SMALL)
    for window in two_windows:
        TritonEngine().advance(together, window)
    for order in ([3], [8, 0, 4]):
        ensemble = start([runs[index] for index in order], config=SMALL)
        for window in windows([runs[index] for index in order], [2, 3], SMALL):
            TritonEngine().advance(ensemble, window)
        for position, index in enumerate(order):
            assert torch.equal(state_bits(ensemble, position), state_bits(together, index))


def test_frozen_and_diverging_runs(two_windows: Any) -> None:
    runs = make_runs(SMALL)
    runs[1] = diverging(runs[1])
    ensemble = start(runs, config=SMALL)
    ensemble.active[3] = False
    before = state_bits(ensemble, 3)
    first, second = (TritonEngine().advance(ensemble, window) for window in two_windows)
    num_batches = first.num_batches + second.num_batches
    assert torch.equal(state_bits(ensemble, 3), before)
    assert num_batches[3] == 0 and 0 < num_batches[1] < 5
    assert [int(count) for run, count in enumerate(num_batches) if run not in (1, 3)] == [5] * 7
    assert ensemble.active.tolist() == [run not in (1, 3) for run in range(len(runs))]
    assert (first.loss + second.loss).isfinite().all()


def test_out_of_memory_is_an_error_of_the_machine(monkeypatch: pytest.MonkeyPatch, two_windows: Any) -> None:
    def no_memory(*sizes: Any, **how: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    ensemble, window = start(make_runs(SMALL), config=SMALL), next(two_windows)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "empty", no_memory)
        with pytest.raises(MachineError, match=r"out of memory with 9 runs in training: .* allocate 2\.00 GiB\.$"):
            TritonEngine().advance(ensemble, window)
    assert ensemble.step == 0


def test_one_compilation_serves_windows_of_any_number_of_steps() -> None:
    """Of 1 step, of 249 and of a multiple of 16 would else be three."""
    program = (
        "from vecparity.kernels.triton.train_window import train_window\n"
        "print(*(p.name for p in train_window.params if p.do_not_specialize))"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    made = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stdout.split() == ["num_steps"]


COMPILE = """
import os
from dataclasses import replace

from equivalence import CONFIG, make_run, start, windows

os.environ["TRITON_INTERPRET"] = "0"  # the tests' own setting is 1
import triton
from triton.backends.compiler import GPUTarget
from vecparity.kernels.triton.train_window import train_window
from vecparity.training.engines.triton import TritonEngine

class Hopper:
    get_current_device = get_current_stream = lambda self, device=0: 0
    get_current_target = lambda self: GPUTarget("cuda", 90, 32)

triton.runtime.driver.set_active(Hopper())
compiled, run = [], train_window.run
train_window.run = lambda *given, warmup, **named: compiled.append(run(*given, warmup=True, **named))
config = replace(CONFIG, n_features={n_features}, hidden_width=512, batch_size=128)
made = make_run(200, 1.0, False, 1, config)
(window,) = windows([made], [3], config)
TritonEngine().advance(start([made], config=config), window)
print(compiled[0].metadata.shared, "wgmma.mma_async" in compiled[0].asm["ptx"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_features", [64, 256])
def test_it_compiles_for_hopper(n_features: int) -> None:
    """Without a GPU: as the engine launches it, to its tensor cores' instructions, and within its shared memory."""
    program = COMPILE.format(n_features=n_features)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    made = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    shared, uses_tensor_cores = made.stdout.split()
    assert int(shared) <= 227 * 1024
    assert uses_tensor_cores == "True"


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"hidden_width": 24}, "trains multiples of 16 hidden units, got hidden_width=24"),
        ({"hidden_width": 32, "batch_size": 300}, "trains batches of up to 256 rows, got batch_size=300"),
        ({"n_features": 300, "hidden_width": 32}, "trains up to 256 features, got n_features=300"),
    ],
)
def test_what_it_has_no_tiles_for_is_refused(sizes: dict[str, int], said: str) -> None:
    config = replace(SMALL, **sizes)
    run = make_run(20, 1.0, False, 1, config)
    (window,) = windows([run], [1], config)
    with pytest.raises(UsageError, match=said):
        TritonEngine().advance(start([run], config=config), window)
    with pytest.raises(UsageError, match=r"trains float32, got torch\.float64"):
        TritonEngine().advance(start([run], torch.float64, config=config), window)
