"""A strategy that adds a line to the file that its parameter names whenever a training set is asked for."""

from pathlib import Path

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels


def init_model(model: nn.Sequential, config: TaskConfig) -> None:
    return


def make_dataset(
    secret: tuple[int, ...], config: TaskConfig, seed: int, *, calls: str = ""
) -> tuple[torch.Tensor, torch.Tensor]:
    if calls:
        with Path(calls).open("a") as file:
            file.write(f"{seed}\n")
    x = torch.randint(0, 2, (300, config.n_features))
    return x, parity_labels(x, secret)


def get_optimizer_config(config: TaskConfig) -> dict[str, float]:
    return {"lr": 1e-2, "wd": 0.3, "beta1": 0.9, "beta2": 0.95}
