"""Every pattern of the secret's bits, half of the rows with all other features 0 and half with them random."""

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels

COPIES = 20


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
    nn.init.zeros_(model[0].bias)
    nn.init.normal_(model[2].weight, std=0.01)
    nn.init.zeros_(model[2].bias)
    with torch.no_grad():
        model[0].weight.mul_(2.0)


def make_dataset(secret: tuple[int, ...], config: TaskConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    num_patterns = 2 ** len(secret)
    patterns = (torch.arange(num_patterns)[:, None] >> torch.arange(len(secret))) & 1
    clean = torch.zeros(num_patterns, config.n_features)
    clean[:, list(secret)] = patterns.float()
    clean = clean.repeat_interleave(COPIES, dim=0)
    noisy = clean.clone()
    others = [feature for feature in range(config.n_features) if feature not in secret]
    noisy[:, others] = torch.randint(0, 2, (len(noisy), len(others)), generator=generator).float()
    x = torch.cat([clean, noisy])
    return x, parity_labels(x, secret)


def get_optimizer_config(config: TaskConfig) -> dict[str, float]:
    return {"lr": 1e-2, "wd": 1e-3, "beta1": 0.9, "beta2": 0.98}
