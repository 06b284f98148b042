"""Which rows each run trains on at each step: epoch permutations, cut into the batches of the next window.

Source: contract sections 2 (the generators) and 4 (batches, short last batches).
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """The batches of every run over some steps, on the CPU.

    Attributes:
        indices: Rows of the run's own dataset. Entries from a batch's length on are 0 and mean nothing.
        lengths: Rows in each batch, at least 1.
    """

    indices: Int32[Tensor, "run step batch"]
    lengths: Int32[Tensor, "run step"]

    @property
    def num_steps(self) -> int:
        return self.lengths.shape[1]

    def take(self, runs: Int64[Tensor, " kept"]) -> "Window":
        return Window(self.indices[runs], self.lengths[runs])


class _Ordering:
    """One run's walk through its epochs."""

    def __init__(self, num_examples: int, seed: int) -> None:
        self.num_examples = num_examples
        self.generator = torch.Generator().manual_seed(seed)
        self.permutation: np.ndarray = np.empty(0, dtype=np.int32)
        self.position = 0

    def fill(self, indices: np.ndarray, lengths: np.ndarray) -> None:
        """Writes the next batches: indices [step, batch], zero on entry, and lengths [step]."""
        num_steps, batch_size = indices.shape
        flat = indices.reshape(-1)
        step = 0
        while step < num_steps:
            if self.position == len(self.permutation):
                # int32 halves the memory of 12.8 million rows; the draws are those of int64.
                permutation = torch.randperm(self.num_examples, generator=self.generator, dtype=torch.int32)
                self.permutation, self.position = permutation.numpy(), 0
            rest = self.permutation[self.position :]
            steps = min(num_steps - step, -(-len(rest) // batch_size))
            # Only an epoch's last batch is short, so the epoch's rows lie without gaps.
            rows = min(len(rest), steps * batch_size)
            flat[step * batch_size : step * batch_size + rows] = rest[:rows]
            lengths[step : step + steps] = batch_size
            lengths[step + steps - 1] = rows - (steps - 1) * batch_size
            self.position += rows
            step += steps


class Schedule:
    """Iterates over the windows of an ensemble, each prepared in the background while the one before it trains.

    Args:
        num_examples: Each run's number of training rows.
        seeds: Each run's ordering seed.
        batch_size: Rows in a full batch.
        window_lengths: Steps in each window, in order.
    """

    def __init__(
        self, num_examples: Sequence[int], seeds: Sequence[int], batch_size: int, window_lengths: Iterable[int]
    ) -> None:
        self._orderings = [_Ordering(n, seed) for n, seed in zip(num_examples, seeds, strict=True)]
        self._batch_size = batch_size
        self._window_lengths = iter(window_lengths)
        # torch.randperm releases the interpreter's lock, so threads are enough.
        self._pool = ThreadPoolExecutor(torch.get_num_threads(), "schedule")
        self._pending = self._prepare()

    def __enter__(self) -> "Schedule":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> "Schedule":
        return self

    def __next__(self) -> Window:
        window = self._wait()
        if window is None:
            raise StopIteration
        self._pending = self._prepare()
        return window

    def take(self, runs: Int64[Tensor, " kept"]) -> None:
        """Goes on with some of the runs only, in the order given."""
        window = self._wait()
        self._pending = None if window is None else (window.take(runs), [])
        self._orderings = [self._orderings[run] for run in runs.tolist()]

    def _prepare(self) -> tuple[Window, list[Future[None]]] | None:
        num_steps = next(self._window_lengths, None)
        if num_steps is None:
            return None
        indices = torch.zeros(len(self._orderings), num_steps, self._batch_size, dtype=torch.int32)
        lengths = torch.empty(len(self._orderings), num_steps, dtype=torch.int32)
        tasks = [
            self._pool.submit(ordering.fill, run_indices, run_lengths)
            for ordering, run_indices, run_lengths in zip(
                self._orderings, indices.numpy(), lengths.numpy(), strict=True
            )
        ]
        return Window(indices, lengths), tasks

    def _wait(self) -> Window | None:
        if self._pending is None:
            return None
        window, tasks = self._pending
        for task in tasks:
            task.result()
        return window
