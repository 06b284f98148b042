"""Baseline: `one_pass` without weight decay."""

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels

ROWS_AT_A_TIME = 100_000


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    nn.init.xavier_uniform_(model[0].weight, gain=nn.init.calculate_gain("relu"))
    nn.init.zeros_(model[0].bias)
    nn.init.xavier_uniform_(model[2].weight)
    nn.init.zeros_(model[2].bias)


def make_dataset(secret: tuple[int, ...], config: TaskConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    # One call of randint would take 8 bytes a bit, 6.6 GB at N = 64. The generator gives the same bits in pieces.
    generator = torch.Generator().manual_seed(seed)
    x = torch.empty(config.max_train_examples, config.n_features, dtype=torch.uint8)
    y = torch.empty(config.max_train_examples)
    for rows, labels in zip(x.split(ROWS_AT_A_TIME), y.split(ROWS_AT_A_TIME), strict=True):
        rows.copy_(torch.randint(0, 2, rows.shape, generator=generator))
        labels.copy_(parity_labels(rows, secret))
    return x, y


def get_optimizer_config(config: TaskConfig) -> dict[str, float]:
    return {"lr": 1e-3, "wd": 0.0, "beta1": 0.9, "beta2": 0.999}
