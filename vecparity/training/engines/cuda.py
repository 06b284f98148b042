"""The `cuda` engine: a cluster of thread blocks takes one run through a window while its state stays on the chip.

The kernel (``kernels/cuda/``, design in README.md) is compiled for the GPU and the sizes on first use. A run's result
depends bit for bit on the run alone, not on other runs, the number of blocks that train it, the cutting of windows, or
the order in which clusters draw their work.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, Float64
from torch import Tensor

from vecparity.errors import MachineError, UsageError
from vecparity.kernels.cuda.plan import Plan, choose, plans, steps_in_piece
from vecparity.kernels.cuda.plan import why_not as why_not_sizes
from vecparity.task.dataset import Dataset
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.schedule import Window


@runtime_checkable
class Program(Protocol):
    """The kernel, compiled for a plan and loaded.

    Attributes:
        num_clusters: The maximum number of clusters that run at the same time.
    """

    num_clusters: int

    def launch(self, num_clusters: int, arguments: Sequence[Tensor | int]) -> None:
        """Starts ``train_window`` (train_window.cu) on the current stream, without waiting for its end."""
        ...


@runtime_checkable
class Processor(Protocol):
    """The properties of a GPU that the engine needs.

    Attributes:
        multiprocessors: The number of multiprocessors.
        shared_bytes: The most shared memory that a block can have, in bytes.
        has_clusters: True if blocks on different multiprocessors can share memory.
    """

    multiprocessors: int
    shared_bytes: int
    has_clusters: bool

    def program(self, plan: Plan) -> Program:
        """Returns the kernel for a plan, compiling it if necessary."""
        ...


class CudaEngine:
    """Trains all runs at once, float32 on CUDA; `Engine.test` is the `vmap` engine's.

    Args:
        processor: The GPU that computes; by default the ensemble's.
    """

    name = "cuda"
    chunk_runs: int | None = None

    def __init__(self, processor: Processor | None = None) -> None:
        self._processor = processor

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        """See `Engine.advance`.

        Raises:
            UsageError: The ensemble has another dtype or device, or sizes that do not fit the kernel.
            MachineError: Out of memory, or the kernel cannot be compiled.
        """
        device, num_runs, num_steps = ensemble.params.device, ensemble.num_runs, window.num_steps
        sizes = (ensemble.n_features, ensemble.hidden_width, window.indices.shape[-1])
        if problem := why_not(*sizes, ensemble.params.dtype):
            raise UsageError(f"the cuda engine {problem}")
        processor = self._processor or _gpu(device)
        most_trained = ensemble.most_trained_features
        candidates = plans(*sizes, processor.shared_bytes, processor.has_clusters, most_trained)
        if not candidates:
            raise UsageError(f"the cuda engine {why_not_room(*sizes)}")
        plan = choose(candidates, num_runs, processor.multiprocessors)
        program = processor.program(plan)
        num_clusters = min(num_runs, program.num_clusters)
        try:
            by = ensemble.coefficients(num_steps)
            per_step = [by.step_size, by.root_correction2.reciprocal()]
            per_step = [rearrange(c, "step run 1 -> run step").contiguous() for c in per_step]
            metrics = WindowMetrics.empty(num_runs, device)
            queue = torch.zeros(1 + num_runs, dtype=torch.int32, device=device)
            arguments: list[Tensor | int] = [
                *(ensemble.params, ensemble.exp_avg, ensemble.exp_avg_sq, ensemble.active.view(torch.uint8)),
                *(by.decay, by.one_minus_beta1, by.beta2, by.one_minus_beta2, *per_step),
                *(ensemble.first_row, ensemble.trained_features, ensemble.data.bits, ensemble.data.labels),
                *(window.indices.to(device), window.lengths.to(device)),
                *(metrics.loss, metrics.accuracy, metrics.num_batches, queue[:1], queue[1:]),
                *(num_runs, num_steps, steps_in_piece(num_runs, num_steps, num_clusters)),
            ]
            program.launch(num_clusters, arguments)
        except torch.OutOfMemoryError as error:
            reason = str(error).splitlines()[0]
            raise MachineError(f"out of memory with {num_runs} runs in training: {reason}") from error
        ensemble.step += num_steps
        return metrics

    def test(
        self, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset], hidden_width: int
    ) -> Float64[Tensor, " run"]:
        """See `Engine.test`."""
        return VmapEngine().test(params, test_sets, hidden_width)


def why_not(n_features: int, hidden_width: int, batch_size: int, dtype: torch.dtype) -> str | None:
    """Says why the kernel cannot train such networks on any GPU; None if it can."""
    if dtype != torch.float32:
        return f"trains float32, got {dtype}"
    return why_not_sizes(n_features, hidden_width, batch_size)


def why_not_on(device: torch.device, n_features: int, hidden_width: int, batch_size: int) -> str | None:
    """Says why the kernel cannot train networks of these sizes on a particular GPU; None if it can.

    Raises:
        MachineError: The GPU's properties cannot be read.
    """
    gpu = _gpu(device)
    sizes = (n_features, hidden_width, batch_size)
    return None if plans(*sizes, gpu.shared_bytes, gpu.has_clusters) else why_not_room(*sizes)


def why_not_room(n_features: int, hidden_width: int, batch_size: int) -> str:
    """Returns the message that a GPU has no room for such a run."""
    sizes = f"n_features={n_features}, hidden_width={hidden_width} and batch_size={batch_size}"
    return f"has no room for a run of {sizes} in this GPU's shared memory"


def _gpu(device: torch.device) -> Processor:
    if device.type != "cuda":
        raise UsageError(f"the cuda engine trains on CUDA, got {device}")
    from vecparity.kernels.cuda.program import gpu

    return gpu(device)
