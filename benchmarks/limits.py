"""What the machine could do at most."""

import time
from collections.abc import Callable

import torch

from vecparity import native


def _best_rate(work: Callable[[], int], repeats: int = 5) -> float:
    """Units of work per second, of the fastest of several after one to warm up."""
    work()
    rates = []
    for _ in range(repeats):
        began = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - began))
    return max(rates)


def peak_flops() -> float | None:
    """float32 operations per second of all threads, of fused multiply-adds from registers (two operations each)."""
    if not native.is_available():
        return None
    return _best_rate(lambda: 2 * native.extension().multiply_add(10_000_000, torch.get_num_threads()))


def copy_bandwidth() -> float:
    """Bytes per second, read and written, of a copy that no cache holds."""
    source, target = torch.zeros(2, 32 << 20, dtype=torch.float32)

    def copy() -> int:
        target.copy_(source)
        return int(2 * source.numel() * source.element_size())

    return _best_rate(copy)
