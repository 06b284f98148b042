"""Cases that contenders train in a comparison, and the interface of a contender."""

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
    """The rows' kind, N, and the number of runs stacked."""

    rows: RowsKind
    n_features: int
    num_runs: int

    def __str__(self) -> str:
        return f"{self.rows} N={self.n_features}, {self.num_runs} runs"

    def make(self) -> tuple[list[Run], TaskConfig]:
        """The benchmark's own runs; for uniform rows, the baseline's 4 096."""
        num_orderings = max(10, ceil(self.num_runs / 10))
        config = task_config(f"n{self.n_features}-k8", early_stop_acc=2, test_set_size=1, num_orderings=num_orderings)
        strategy = load("isolated_cube" if self.rows == "isolated_cube" else "default_4096")
        return make_runs([(interface.load(strategy), PublicSeeds(42))], config)[: self.num_runs], config


@dataclass(frozen=True)
class Contender:
    """Something that trains many runs at once.

    Attributes:
        name: As tables show it.
        why_not: Why it cannot be tried on a device, in words, or None.
        prepare: Makes, from runs, settings, the steps of a window and a device, the function that trains the next
            window.
    """

    name: str
    why_not: Callable[[torch.device], str | None]
    prepare: Callable[[Sequence[Run], TaskConfig, int, torch.device], TrainWindow]


def dense_flops(config: TaskConfig) -> int:
    """Floating-point operations of one step of one run by matrix products, forward and backward, AdamW aside."""
    first_layer = 2 * 2 * config.n_features  # h and dW1: a multiplication and an addition for each weight and row
    second_layer = 3 * 2  # z, dh and dw2
    return config.batch_size * config.hidden_width * (first_layer + second_layer)


def state_bytes(config: TaskConfig) -> int:
    """Bytes of parameters and moments that AdamW reads and writes in one step of one run, were nothing in cache."""
    num_params = config.hidden_width * (config.n_features + 2) + 1
    return 2 * 3 * 4 * num_params


def with_steps(config: TaskConfig, num_steps: int) -> TaskConfig:
    """Settings that train for so many steps with every step a window."""
    return replace(config, max_steps=num_steps, log_interval=1)
