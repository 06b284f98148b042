"""A strategy with parameters: one function's alone, and one that two functions share."""

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels


def init_model(model: nn.Sequential, config: TaskConfig, *, scale: float = 1.0) -> None:
    with torch.no_grad():
        model[0].weight.mul_(scale)


def make_dataset(
    secret: tuple[int, ...], config: TaskConfig, seed: int, *, rows: int = 300, scale: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randint(0, 2, (int(rows * scale), config.n_features))
    return x, parity_labels(x, secret)


def get_optimizer_config(config: TaskConfig, *, lr: float = 1e-2, wd: float = 0.3) -> dict[str, float]:
    return {"lr": lr, "wd": wd, "beta1": 0.9, "beta2": 0.95}
