"""Form (b): a whole evaluator with its editable block filled in. Only the three functions may be used."""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class TaskConfig:
    n_features: int = 7
    hidden_width: int = 3


def parity_labels(x, secret):
    return x[:, list(secret)].sum(dim=1).remainder(2).float()


# --- editable block ---


def init_model(model, config: TaskConfig):
    nn.init.normal_(model[0].weight, std=0.1)
    nn.init.zeros_(model[2].bias)


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (50, config.n_features), generator=generator)
    return {"x": x, "y": parity_labels(x, secret)}


def get_optimizer_config(config):
    return {"lr": 10 ** random.uniform(-3, -2), "wd": 0.1, "beta1": 0.9, "beta2": 0.99, "note": "ignored"}


# --- end of editable block ---


def train(config):
    raise AssertionError("a strategy's own training loop must never run")


def main():
    argparse.ArgumentParser().parse_args()
    train(TaskConfig())
    print("FINAL_METRICS test_accuracy=1.000000")


if __name__ == "__main__":
    main()
