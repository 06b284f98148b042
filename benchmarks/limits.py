"""Measures the machine's limits."""

import time
from collections.abc import Callable

import torch

from vecparity.kernels.cpu import native


def _best_rate(work: Callable[[], int], device: torch.device, repeats: int = 5) -> float:
    """Returns units of work per second, from the fastest of several repeats after a warm-up."""
    rates = []
    for _ in range(1 + repeats):
        _wait(device)
        began = time.perf_counter()
        done = work()
        _wait(device)
        rates.append(done / (time.perf_counter() - began))
    return max(rates[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(device: torch.device) -> dict[str, float]:
    """Measures operations per second by kind (a multiply-add counts as two), and bytes copied per second."""
    rates = {"copy_bytes_per_second": copy_bandwidth(device)}
    if device.type == "cuda":
        rates["bfloat16_matmul_flops"] = matmul_flops(device, torch.bfloat16)
        rates["peak_flops"] = matmul_flops(device, torch.float32)
    elif native.is_available():
        rates["peak_flops"] = multiply_add_flops()
    return rates


def multiply_add_flops() -> float:
    """Measures float32 operations per second of all threads, for fused multiply-adds from registers."""
    multiply_add, threads = native.extension().multiply_add, torch.get_num_threads()
    return _best_rate(lambda: 2 * int(multiply_add(10_000_000, threads)), torch.device("cpu"))


def matmul_flops(device: torch.device, dtype: torch.dtype, size: int = 8192) -> float:
    """Measures operations per second of a large matrix product; by default torch does not use tf32 for float32."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> int:
        torch.mm(a, b)
        return int(2 * size**3)

    return _best_rate(multiply, device)


def copy_bandwidth(device: torch.device) -> float:
    """Measures bytes per second, read and written, of a copy larger than any cache."""
    size = (1 << 30) if device.type == "cuda" else (128 << 20)
    source, target = torch.ones(2, size, dtype=torch.uint8, device=device)

    def copy() -> int:
        target.copy_(source)
        return 2 * size

    return _best_rate(copy, device)
