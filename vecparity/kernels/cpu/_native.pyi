"""The extension module built from the C++ in this directory. Arrays are changed in place, never copied."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TOO_MANY_ROWS: int
"""The smallest dataset that `Orderings` refuses: from this size on torch.randperm draws differently."""

def advance(
    params: NDArray[np.float32],
    exp_avg: NDArray[np.float32],
    exp_avg_sq: NDArray[np.float32],
    active: NDArray[np.bool_],
    decay: NDArray[np.float32],
    one_minus_beta1: NDArray[np.float32],
    beta2: NDArray[np.float32],
    one_minus_beta2: NDArray[np.float32],
    step_size: NDArray[np.float32],
    root_correction2: NDArray[np.float32],
    first_row: NDArray[np.int64],
    used: NDArray[np.int64],
    bits: NDArray[np.int64],
    labels: NDArray[np.uint8],
    indices: NDArray[np.int32],
    lengths: NDArray[np.int32],
    loss: NDArray[np.float64],
    accuracy: NDArray[np.float64],
    num_batches: NDArray[np.int64],
    n_features: int,
    hidden_width: int,
    threads: int,
    threads_per_run: int = 4,
    level: str = "",
) -> None: ...
def count_correct(
    params: NDArray[np.float32],
    bits: Sequence[NDArray[np.int64]],
    labels: Sequence[NDArray[np.uint8]],
    correct: NDArray[np.int64],
    n_features: int,
    hidden_width: int,
    threads: int,
    level: str = "",
) -> None: ...
def apply(function: str, x: NDArray[np.float32], y: NDArray[np.float32], level: str = "") -> None: ...
def fused(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    c: NDArray[np.float32],
    y: NDArray[np.float32],
    level: str = "",
) -> None: ...
def multiply_add(rounds: int, threads: int, level: str = "") -> int: ...
def levels() -> list[str]: ...

class Orderings:
    def __init__(self, num_examples: Sequence[int], seeds: Sequence[int]) -> None: ...
    def fill(self, indices: NDArray[np.int32], lengths: NDArray[np.int32], threads: int) -> None: ...
    def skip(self, num_steps: int, batch_size: int, threads: int) -> None: ...
    def take(self, runs: Sequence[int]) -> None: ...
