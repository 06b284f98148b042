"""Uniform random rows of any number: how much data, width and training does a parity need?"""

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    nn.init.xavier_uniform_(model[0].weight, gain=nn.init.calculate_gain("relu"))
    nn.init.zeros_(model[0].bias)
    nn.init.xavier_uniform_(model[2].weight)
    nn.init.zeros_(model[2].bias)


def make_dataset(
    secret: tuple[int, ...], config: TaskConfig, seed: int, *, num_examples: int = 4096
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (num_examples, config.n_features), generator=generator)
    return x, parity_labels(x, secret)


def get_optimizer_config(
    config: TaskConfig, *, lr: float = 1e-3, wd: float = 1e-2, beta1: float = 0.9, beta2: float = 0.999
) -> dict[str, float]:
    return {"lr": lr, "wd": wd, "beta1": beta1, "beta2": beta2}
