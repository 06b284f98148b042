"""Strategies that are called in this process, where a sandbox would call them in another."""

from collections.abc import Sequence
from pathlib import Path

from vecparity.sandbox.pool import Pool
from vecparity.strategy import interface
from vecparity.strategy.parameters import Arguments
from vecparity.strategy.source import Strategy
from vecparity.task.config import Secret, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.training.runs import Initial

_HONEST = {
    "top": "import os",
    "init_model": "model[2].bias.data.zero_()",
    "make_dataset": "pass",
    "get_optimizer_config": "return dict(lr=1e-3, wd=0, beta1=0.9, beta2=0.9)",
}
# What the last `InThisProcess` was asked for, and with how many features.
asked: list[tuple[str, int]] = []


class InThisProcess:
    """Stands where a sandbox stands."""

    def __init__(self, pool: Pool, strategy: Strategy, arguments: Arguments, *, again: bool = False) -> None:
        self._interface = interface.load(strategy, arguments=arguments)
        asked.clear()

    def initialise(self, config: TaskConfig, run_seeds: Sequence[int]) -> Sequence[Initial]:
        asked.append((f"{len(run_seeds)} networks", config.n_features))
        return self._interface.initialise(config, run_seeds)

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> Dataset:
        asked.append((f"dataset {dataset_seed % 10_000}", config.n_features))
        return self._interface.training_set(config, secret, dataset_seed)


def write(path: Path, **bodies: str) -> Path:
    """A strategy of 300 uniform rows, with some more code in its functions."""
    bodies = _HONEST | bodies
    path.write_text(
        f"{bodies['top']}\n"
        f"def init_model(model, config):\n    {bodies['init_model']}\n"
        "def make_dataset(secret, config, seed):\n"
        "    generator = torch.Generator().manual_seed(seed)\n"
        "    x = torch.randint(0, 2, (300, config.n_features), generator=generator)\n"
        "    y = parity_labels(x, secret)\n"
        f"    {bodies['make_dataset']}\n"
        "    return x, y\n"
        f"def get_optimizer_config(config):\n    {bodies['get_optimizer_config']}\n"
    )
    return path
