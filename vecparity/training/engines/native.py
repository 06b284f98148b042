"""The `native` engine: a C++ kernel that adds up weights at set bits, on the CPU.

The kernel (``kernels/cpu/``) takes a run through a whole window while its state stays in cache: one thread a run, or
up to four where there are fewer runs than threads. A run's result depends on the run alone, not on other runs, their
order, the threads, the cutting of windows, or the instruction set.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

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

# The most threads that train one run: as many as the kernel has parts of z.
_MOST_THREADS_PER_RUN = 4
# Windows until the slower numbers of threads per run are tried again.
_WINDOWS_BETWEEN_TRIALS = 32


class NativeEngine:
    """Trains runs in parallel, each on one thread, or on several if there are fewer runs than threads.

    Args:
        threads: The maximum number of threads; by default as many as torch uses.
        level: The instruction set, one of `native.levels`; by default the best.
        threads_per_run: The maximum number of threads that train one run, if there are fewer runs than threads; by
            default the number that proves fastest.

    Raises:
        UsageError: The kernel was not built, or does not support the instruction set on this machine.
    """

    name = "native"
    chunk_runs: int | None = None

    def __init__(
        self, threads: int | None = None, level: str | None = None, threads_per_run: int | None = None
    ) -> None:
        self._kernel = native.extension()
        levels = native.levels()
        if level is not None and level not in levels:
            raise UsageError(f"level must be one of {', '.join(levels)}, got {level!r}")
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, got {threads}")
        self.threads = threads or torch.get_num_threads()
        self.level = level or levels[0]
        self._threads_per_run = threads_per_run
        self._pace = _Pace()

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
        sizes = (ensemble.n_features, ensemble.hidden_width)
        most = min(_MOST_THREADS_PER_RUN, self.threads // max(1, int(ensemble.active.sum())))
        case = (*sizes, window.num_steps, most)  # a short window is the slower, a step, for all that begins and ends it
        with self._memory_errors(), self._pace.measure(case, most) as threads_per_run:
            number = self._threads_per_run or threads_per_run
            self._kernel.advance(*arrays, *sizes, self.threads, number, self.level)
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


class _Pace:
    """Finds the number of threads per run that takes the least time.

    Threads that share a run wait for each other at every step. Where other work keeps them from running at the same
    time, one thread a run is several times as fast; the result is the same.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[tuple[int, ...], int], float] = {}  # of a window, when last measured
        self._num_windows = 0

    @contextmanager
    def measure(self, case: tuple[int, ...], most: int) -> Iterator[int]:
        """Yields the number of threads per run, at most ``most``, for a window of some case; measures its time."""
        choices = [number for number in (4, 2, 1) if number <= max(1, most)]
        number = self._choose(case, choices)
        began = perf_counter()
        yield number
        self._seconds[case, number] = perf_counter() - began

    def _choose(self, case: tuple[int, ...], choices: Sequence[int]) -> int:
        self._num_windows += 1
        untried = [number for number in choices if (case, number) not in self._seconds]
        if untried:
            return untried[0]
        if self._num_windows % _WINDOWS_BETWEEN_TRIALS == 0:
            return choices[self._num_windows // _WINDOWS_BETWEEN_TRIALS % len(choices)]
        return min(choices, key=lambda number: self._seconds[case, number])


def why_not(device: torch.device, dtype: torch.dtype) -> str | None:
    """Says why the kernel cannot train such an ensemble; None if it can."""
    if device.type == "cpu" and dtype == torch.float32:
        return None
    return f"trains float32 on the CPU, got {dtype} on {device}"
