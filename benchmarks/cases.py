"""The cases of a comparison, and the contenders."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import torch
from torch import Tensor

from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig, task_config
from vecparity.task.seeds import PublicSeeds
from vecparity.training.runs import Run, make_runs

CPU = torch.device("cpu")
RowsKind = Literal["uniform", "isolated_cube"]
ROWS: tuple[RowsKind, ...] = ("uniform", "isolated_cube")

# Trains a window, the same number of steps each time, and returns every run's mean loss over it, on the CPU.
TrainWindow = Callable[[], Tensor]


@dataclass(frozen=True)
class Case:
    """A case: the kind of rows, N, and the number of stacked runs."""

    rows: RowsKind
    n_features: int
    num_runs: int

    def __str__(self) -> str:
        return f"{self.rows} N={self.n_features}, {self.num_runs} runs"

    def make(self) -> tuple[list[Run], TaskConfig]:
        """Makes the benchmark's own runs; for uniform rows, with the baseline's 4 096 rows."""
        num_orderings = max(10, ceil(self.num_runs / 10))
        config = task_config(f"n{self.n_features}-k8", early_stop_acc=2, test_set_size=1, num_orderings=num_orderings)
        strategy = load("isolated_cube" if self.rows == "isolated_cube" else "default_4096")
        return make_runs([(interface.load(strategy), PublicSeeds(42))], config)[: self.num_runs], config


@dataclass(frozen=True)
class Contender:
    """An implementation that trains many runs at once.

    Attributes:
        name: The name in tables.
        why_not: Returns the reason why the contender cannot run on a device, or None.
        prepare: Takes runs, settings, the steps of a window and a device; returns the function that trains the next
            window.
    """

    name: str
    why_not: Callable[[torch.device], str | None]
    prepare: Callable[[Sequence[Run], TaskConfig, int, torch.device], TrainWindow]


def dense_flops(config: TaskConfig) -> int:
    """Counts the floating-point operations of one run's step by matrix products, both passes, without AdamW."""
    first_layer = 2 * 2 * config.n_features  # h and dW1: a multiplication and an addition for each weight and row
    second_layer = 3 * 2  # z, dh and dw2
    return config.batch_size * config.hidden_width * (first_layer + second_layer)


def state_bytes(config: TaskConfig) -> int:
    """Counts the bytes of parameters and moments that AdamW reads and writes per step and run if nothing is cached."""
    num_params = config.hidden_width * (config.n_features + 2) + 1
    return 2 * 3 * 4 * num_params


def with_steps(config: TaskConfig, num_steps: int) -> TaskConfig:
    """Returns settings that train for the given number of steps, with every step a window."""
    return replace(config, max_steps=num_steps, log_interval=1)
