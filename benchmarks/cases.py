"""What is trained in a comparison, and what a contender is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vecparity.runs import Run, make_runs
from vecparity.spec import TaskConfig, task_config
from vecparity.strategy import load

CPU = torch.device("cpu")
ROWS = ("uniform", "isolated_cube")

# Trains a window, the same number of steps each time, and returns every run's mean loss over it.
TrainWindow = Callable[[], Tensor]


@dataclass(frozen=True)
class Case:
    """The rows' kind, N, and the number of runs stacked."""

    rows: str
    n_features: int
    num_runs: int

    def __str__(self) -> str:
        return f"{self.rows} N={self.n_features}, {self.num_runs} runs"

    def make(self) -> tuple[list[Run], TaskConfig]:
        """The benchmark's own runs; for uniform rows, the baseline's 4 096."""
        config = task_config(f"n{self.n_features}-k8", early_stop_acc=2, test_set_size=1)
        strategy = load("isolated_cube" if self.rows == "isolated_cube" else "default_4096")
        return make_runs([(strategy, 42)], config, CPU)[: self.num_runs], config


@dataclass(frozen=True)
class Contender:
    """Something that trains many runs at once.

    Attributes:
        name: As tables show it.
        missing: What to install, where it cannot be tried; else None.
        prepare: Makes, from runs, settings and the steps of a window, the function that trains the next window.
    """

    name: str
    missing: str | None
    prepare: Callable[[Sequence[Run], TaskConfig, int], TrainWindow]


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
