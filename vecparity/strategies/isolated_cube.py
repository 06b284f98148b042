"""Every pattern of the secret's bits with all other features 0: nothing but the parity can be learnt."""

import math

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
    nn.init.zeros_(model[0].bias)
    nn.init.normal_(model[2].weight, std=1 / math.sqrt(config.hidden_width))
    nn.init.zeros_(model[2].bias)
    with torch.no_grad():
        # Only K of the N inputs are ever on: scale as if there were only K.
        model[0].weight.mul_(math.sqrt(config.n_features / config.secret_size))


def make_dataset(secret: tuple[int, ...], config: TaskConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    num_patterns = 2 ** len(secret)
    patterns = (torch.arange(num_patterns)[:, None] >> torch.arange(len(secret))) & 1
    x = torch.zeros(num_patterns, config.n_features)
    x[:, list(secret)] = patterns.float()
    x = x.repeat_interleave(max(4, 4096 // num_patterns), dim=0)
    return x, parity_labels(x, secret)


def get_optimizer_config(config: TaskConfig) -> dict[str, float]:
    return {"lr": 1e-2, "wd": 0.3, "beta1": 0.9, "beta2": 0.95}
