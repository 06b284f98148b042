"""The sequential oracle's own speed: in one process, and in one process per core."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.pool import Pool

import torch

from benchmarks.cases import CPU
from vecparity.task.config import TaskConfig
from vecparity.training import reference
from vecparity.training.runs import Run

WARM_UP = 100


def run_steps_per_second(run: Run, config: TaskConfig, num_steps: int, device: torch.device = CPU) -> float:
    """Measures run-steps per second of one network after another, excluding start-up and test."""
    marks: list[float] = []
    config = replace(config, max_steps=WARM_UP + num_steps, log_interval=WARM_UP)
    reference.train_run(run, config, device, torch.float32, lambda *window: marks.append(time.perf_counter()))
    # Windows close at 1, at multiples of the warm-up, and at the end.
    return num_steps / (marks[-1] - marks[1])


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Sets the number of threads of torch's operations within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _alone(run: Run, config: TaskConfig, num_steps: int) -> float:
    with threads(1):
        return run_steps_per_second(run, config, num_steps)


def one_process(run: Run, config: TaskConfig, num_steps: int, device: torch.device) -> float:
    """Measures one process; on a CPU with one thread or all, whichever is faster: small matrices may gain nothing."""
    if device.type != "cpu":
        return run_steps_per_second(run, config, num_steps, device)
    return max(run_steps_per_second(run, config, num_steps), _alone(run, config, num_steps))


def sharded(pool: Pool, num_processes: int, run: Run, config: TaskConfig, num_steps: int) -> float:
    """Measures the total rate of single-threaded processes that run at the same time."""
    return sum(pool.starmap(_alone, [(run, config, num_steps)] * num_processes, chunksize=1))
