"""A sandbox without a pool."""

from collections.abc import Sequence
from typing import Any

import torch

from vecparity.sandbox.fork_server import ForkServer
from vecparity.sandbox.levels import Level
from vecparity.sandbox.limits import Limits
from vecparity.sandbox.log import StrategyLog
from vecparity.strategy.source import Strategy
from vecparity.task.config import Secret, TaskConfig
from vecparity.task.dataset import Dataset

_CPU = torch.device("cpu")


class OwnSandbox(ForkServer):
    """A fork server that serves one strategy."""

    def __init__(
        self,
        strategy: Strategy,
        level: Level,
        limits: Limits,
        log: StrategyLog,
        device: torch.device = _CPU,
        *,
        again: bool = False,
    ) -> None:
        super().__init__(level, limits, log, device, torch.get_num_threads(), again=again)
        self.strategy = strategy

    def __enter__(self) -> "OwnSandbox":
        return self

    def initialise(self, config: TaskConfig, run_seeds: Sequence[int]) -> Any:  # type: ignore[override]
        return super().initialise(self.strategy, {}, config, run_seeds)

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> Dataset:  # type: ignore[override]
        return super().training_set(self.strategy, {}, config, secret, dataset_seed)
