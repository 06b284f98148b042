# A step so long that weights overflow: some runs' losses cease to be finite.
import random

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    pass


def make_dataset(secret: tuple[int, ...], config: TaskConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randint(0, 2, (300, config.n_features))
    return x, parity_labels(x, secret)


def get_optimizer_config(config: TaskConfig) -> dict[str, float]:
    # Per run: the generators are seeded with the run's seed.
    return {"lr": random.choice([1e-3, 1e30]), "wd": 0.01, "beta1": 0.9, "beta2": 0.999}
