"""The rows that each run trains on at each step: windows of batches, each prepared while the previous one trains."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from types import TracebackType

import torch
from jaxtyping import Int32, Int64
from torch import Tensor

from vecparity.task.config import TaskConfig
from vecparity.training.orderings import make_orderings
from vecparity.training.runs import Run
from vecparity.undisturbed import undisturbed

_CPU = torch.device("cpu")
# The most steps in one call of an engine: batches of longer windows would fill the memory, and a training can stop and
# save a checkpoint between any two pieces.
_MOST_STEPS = 250


@dataclass(frozen=True)
class Window:
    """The batches of every run over some steps.

    Attributes:
        indices: Row indices in the run's own dataset; 0 after the end of a short batch.
        lengths: Rows in each batch, at least 1.
    """

    indices: Int32[Tensor, "run step batch"]
    lengths: Int32[Tensor, "run step"]

    @property
    def num_steps(self) -> int:
        return self.lengths.shape[1]

    def take(self, runs: Int64[Tensor, " kept"]) -> "Window":
        runs = runs.to(self.indices.device)
        return Window(self.indices[runs], self.lengths[runs])


class Schedule:
    """An iterator over the windows of an ensemble, each prepared in the background while the previous one trains.

    Args:
        num_examples: Each run's number of training rows.
        seeds: Each run's ordering seed.
        batch_size: Rows in a full batch.
        window_lengths: Steps in each window, in order.
        device: The device that receives the windows.
        first_step: Number of steps already made; the first window begins after them.
        threads: Number of threads that prepare windows; by default as many as torch uses.
    """

    def __init__(
        self,
        num_examples: Sequence[int],
        seeds: Sequence[int],
        batch_size: int,
        window_lengths: Iterable[int],
        device: torch.device = _CPU,
        first_step: int = 0,
        threads: int | None = None,
    ) -> None:
        self._orderings = make_orderings(num_examples, seeds)
        self._num_runs = len(num_examples)
        self._batch_size = batch_size
        self._window_lengths = iter(window_lengths)
        self._threads = threads or torch.get_num_threads()
        self._orderings.skip(first_step, batch_size, self._threads)
        # Copies use their own stream; otherwise they would wait for the window in training.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._pinned: Tensor | None = None
        self._background = ThreadPoolExecutor(1, "schedule")
        self._pending = self._prepare()

    @classmethod
    def of(
        cls,
        runs: Sequence[Run],
        batch_size: int,
        window_lengths: Iterable[int],
        device: torch.device = _CPU,
        first_step: int = 0,
        threads: int | None = None,
    ) -> "Schedule":
        """Returns the schedule of runs that have made ``first_step`` steps."""
        sizes, seeds = [run.dataset.num_examples for run in runs], [run.ordering_seed for run in runs]
        return cls(sizes, seeds, batch_size, window_lengths, device, first_step, threads)

    def __enter__(self) -> "Schedule":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._background.shutdown(cancel_futures=True)

    def __iter__(self) -> "Schedule":
        return self

    def __next__(self) -> Window:
        if self._pending is None:
            raise StopIteration
        with undisturbed():
            window = self._pending.result()
        if self._stream is not None:
            for tensor in (window.indices, window.lengths):  # keep until the current training is done with it
                tensor.record_stream(torch.cuda.current_stream(tensor.device))
        self._pending = self._prepare()
        return window

    def take(self, runs: Int64[Tensor, " kept"]) -> None:
        """Keeps only some of the runs, in the order given."""
        self._num_runs = len(runs)
        if self._pending is not None:  # else no windows are left
            self._pending = self._background.submit(self._take, self._pending, runs)

    def _prepare(self) -> Future[Window] | None:
        num_steps = next(self._window_lengths, None)
        return None if num_steps is None else self._background.submit(self._fill, self._num_runs, num_steps)

    def _fill(self, num_runs: int, num_steps: int) -> Window:
        shape = (num_runs, num_steps, self._batch_size)
        sizes = [prod(shape), prod(shape[:2])]
        indices, lengths = self._memory(sum(sizes)).split(sizes)
        filled = Window(indices.view(shape), lengths.view(shape[:2]))
        self._orderings.fill(filled.indices.numpy(), filled.lengths.numpy(), self._threads)
        if self._stream is None:
            return filled
        with torch.cuda.stream(self._stream):
            on_device = [tensor.to(self._stream.device, non_blocking=True) for tensor in (indices, lengths)]
        self._stream.synchronize()  # in the background, so that the consumer need not wait
        return Window(on_device[0].view(shape), on_device[1].view(shape[:2]))

    def _memory(self, size: int) -> Int32[Tensor, " size"]:
        """Returns memory for a window: new on a CPU, where the window keeps it; else pinned, copied from and reused."""
        if self._stream is None:
            return torch.empty(size, dtype=torch.int32)
        if self._pinned is None or len(self._pinned) < size:
            self._pinned = torch.empty(size, dtype=torch.int32, pin_memory=True)
        return self._pinned[:size]

    def _take(self, pending: Future[Window], runs: Int64[Tensor, " kept"]) -> Window:
        """Takes some runs from a prepared window, and drops the others from later windows."""
        self._orderings.take(runs.tolist())
        if self._stream is None:
            return pending.result().take(runs)
        # In the stream that fills windows: on another stream, the source could be overwritten before it is read.
        with torch.cuda.stream(self._stream):
            window = pending.result().take(runs)
        self._stream.synchronize()
        return window


def pieces(config: TaskConfig, first_step: int) -> Iterator[int]:
    """Yields the lengths of the pieces of windows, starting at ``first_step``, which must be the end of a piece."""
    step = 0
    for length in config.window_lengths():
        for first in range(0, length, _MOST_STEPS):
            piece = min(_MOST_STEPS, length - first)
            if step >= first_step:
                yield piece
            step += piece


def is_between_pieces(config: TaskConfig, step: int) -> bool:
    """Tells whether a checkpoint can be of this step: the close of a window or the end of a piece."""
    return (step - config.last_close(step)) % _MOST_STEPS == 0
