"""Epoch permutations of each run, cut into batches.

Source: contract sections 2 (the generators) and 4 (batches, short last batches).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from vecparity.kernels.cpu import native


class _Ordering:
    """The ordering of one run: its epoch permutations and the position in the current one."""

    def __init__(self, num_examples: int, seed: int) -> None:
        self.num_examples = num_examples
        self.generator = torch.Generator().manual_seed(seed)
        self.permutation: np.ndarray = np.empty(0, dtype=np.int32)
        self.position = 0

    def fill(self, indices: np.ndarray, lengths: np.ndarray) -> None:
        """Writes the next batches: indices [step, batch], zero after the end of a short batch, and lengths [step]."""
        num_steps, batch_size = indices.shape
        flat = indices.reshape(-1)
        step = 0
        while step < num_steps:
            if self.position == len(self.permutation):
                self._begin_epoch()
            rest = self.permutation[self.position :]
            steps = min(num_steps - step, -(-len(rest) // batch_size))
            # Only an epoch's last batch is short, so the epoch's rows are contiguous.
            rows = min(len(rest), steps * batch_size)
            flat[step * batch_size : step * batch_size + rows] = rest[:rows]
            flat[step * batch_size + rows : (step + steps) * batch_size] = 0
            lengths[step : step + steps] = batch_size
            lengths[step + steps - 1] = rows - (steps - 1) * batch_size
            self.position += rows
            step += steps

    def skip(self, num_steps: int, batch_size: int) -> None:
        """Skips the first ``num_steps`` batches; call before any `fill`."""
        epochs, steps = divmod(num_steps, -(-self.num_examples // batch_size))
        for _ in range(epochs):  # torch's generator advances only by drawing
            self._begin_epoch()
        if steps:
            self._begin_epoch()
            self.position = steps * batch_size
        else:
            self.position = len(self.permutation)

    def _begin_epoch(self) -> None:
        # int32 halves the memory of 12.8 million rows and draws the same permutation as int64.
        permutation = torch.randperm(self.num_examples, generator=self.generator, dtype=torch.int32)
        self.permutation, self.position = permutation.numpy(), 0


@runtime_checkable
class Orderings(Protocol):
    """The orderings of many runs."""

    def fill(self, indices: np.ndarray, lengths: np.ndarray, threads: int) -> None:
        """Writes the next batches: indices [run, step, batch], 0 after a short batch's end, and lengths [run, step]."""

    def skip(self, num_steps: int, batch_size: int, threads: int) -> None:
        """Skips the first ``num_steps`` batches; call before any `fill`."""

    def take(self, runs: Sequence[int]) -> None:
        """Keeps only some of the runs, in the order given."""


class _TorchOrderings:
    """Orderings drawn by torch.randperm, used where the native twin is unavailable."""

    def __init__(self, num_examples: Sequence[int], seeds: Sequence[int]) -> None:
        self._orderings = [_Ordering(n, seed) for n, seed in zip(num_examples, seeds, strict=True)]

    def fill(self, indices: np.ndarray, lengths: np.ndarray, threads: int) -> None:
        # torch.randperm releases the interpreter's lock, so threads suffice.
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(_Ordering.fill, self._orderings, indices, lengths):
                pass

    def skip(self, num_steps: int, batch_size: int, threads: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda ordering: ordering.skip(num_steps, batch_size), self._orderings):
                pass

    def take(self, runs: Sequence[int]) -> None:
        self._orderings = [self._orderings[run] for run in runs]


def make_orderings(num_examples: Sequence[int], seeds: Sequence[int]) -> Orderings:
    """Returns the orderings of runs before their first step, given their numbers of rows and their seeds."""
    if native.is_available() and max(num_examples, default=0) < native.extension().TOO_MANY_ROWS:
        orderings: Orderings = native.extension().Orderings(
            num_examples, [seed % 2**64 for seed in seeds]
        )  # as torch reads seeds
        return orderings
    return _TorchOrderings(num_examples, seeds)
