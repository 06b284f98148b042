"""Uniform random rows: how many does a parity need, with how wide a network?

A network starts dense, or with `active_inputs` inputs for each hidden unit (Edelman et al., arXiv 2309.03800: 2).
"""

import math

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels


def init_model(model: nn.Sequential, config: TaskConfig, *, active_inputs: int = 0) -> None:
    nn.init.xavier_uniform_(model[0].weight, gain=nn.init.calculate_gain("relu"))
    nn.init.zeros_(model[0].bias)
    nn.init.xavier_uniform_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    if active_inputs:
        is_active = torch.rand(config.hidden_width, config.n_features).argsort(dim=1) < active_inputs
        with torch.no_grad():
            # Scale as if there were no other inputs.
            model[0].weight.mul_(is_active * math.sqrt(config.n_features / active_inputs))


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
