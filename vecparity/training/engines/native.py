"""The `native` engine: a C++ kernel that adds up weights at set bits, one run per thread, on the CPU.

The kernel (``kernels/cpu/``) takes a run through a whole window while its state stays in cache. A run's result depends
on the run alone, not on other runs, their order, the threads, the cutting of windows, or the instruction set.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from einops import rearrange
from jaxtyping import Float, Float64
from torch import Tensor

from vecparity.errors import MachineError, UsageError
from vecparity.kernels.cpu import native
from vecparity.task.dataset import Dataset
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.ensemble import Ensemble
from vecparity.training.schedule import Window


class NativeEngine:
    """Trains runs in parallel, each on one thread.

    Args:
        threads: The maximum number of threads; by default as many as torch uses.
        level: The instruction set, one of `native.levels`; by default the best.

    Raises:
        UsageError: The kernel was not built, or does not support the instruction set on this machine.
    """

    name = "native"
    chunk_runs: int | None = None

    def __init__(self, threads: int | None = None, level: str | None = None) -> None:
        self._kernel = native.extension()
        levels = native.levels()
        if level is not None and level not in levels:
            raise UsageError(f"level must be one of {', '.join(levels)}, got {level!r}")
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, got {threads}")
        self.threads = threads or torch.get_num_threads()
        self.level = level or levels[0]

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        """See `Engine.advance`.

        This engine also freezes a run when an update leaves a parameter that is not finite: the run has no score then,
        even if later losses happen to be finite.

        Raises:
            UsageError: The ensemble is not of float32 on the CPU.
            MachineError: The threads' working memory cannot be allocated.
        """
        if problem := why_not(ensemble.params.device, ensemble.params.dtype):
            raise UsageError(f"the native engine {problem}")
        metrics = WindowMetrics.empty(ensemble.num_runs, ensemble.params.device)
        by = ensemble.coefficients(window.num_steps)
        per_run = [rearrange(c, "run 1 -> run") for c in (by.decay, by.one_minus_beta1, by.beta2, by.one_minus_beta2)]
        per_step = [rearrange(c, "step run 1 -> run step").contiguous() for c in (by.step_size, by.root_correction2)]
        tensors = [
            *(ensemble.params, ensemble.exp_avg, ensemble.exp_avg_sq, ensemble.active),
            *(*per_run, *per_step),
            *(ensemble.first_row, ensemble.used, ensemble.data.bits, ensemble.data.labels),
            *(window.indices, window.lengths),
            *(metrics.loss, metrics.accuracy, metrics.num_batches),
        ]
        arrays = [tensor.numpy() for tensor in tensors]
        with self._memory_errors():
            self._kernel.advance(*arrays, ensemble.n_features, ensemble.hidden_width, self.threads, self.level)
        ensemble.step += window.num_steps
        return metrics

    def test(
        self, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset], hidden_width: int
    ) -> Float64[Tensor, " run"]:
        """See `Engine.test`."""
        correct = torch.empty(len(params), dtype=torch.int64)
        bits, labels = ([getattr(data, name).numpy() for data in test_sets] for name in ("bits", "labels"))
        sizes = (test_sets[0].n_features, hidden_width)
        with self._memory_errors():
            self._kernel.count_correct(params.numpy(), bits, labels, correct.numpy(), *sizes, self.threads, self.level)
        return correct / torch.tensor([data.num_examples for data in test_sets], dtype=torch.float64)

    @contextmanager
    def _memory_errors(self) -> Iterator[None]:
        try:
            yield
        except MemoryError as error:
            raise MachineError(f"out of memory with --threads {self.threads}: use fewer threads") from error


def why_not(device: torch.device, dtype: torch.dtype) -> str | None:
    """Says why the kernel cannot train such an ensemble; None if it can."""
    if device.type == "cpu" and dtype == torch.float32:
        return None
    return f"trains float32 on the CPU, got {dtype} on {device}"
