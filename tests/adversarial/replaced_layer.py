"""Puts a layer of its own into the network."""

# at bwrap landlock limits none: status 3, says in place, got Linear -> ReLU -> Oracle -> Sigmoid
# slow: bwrap landlock limits

import torch
from torch import nn


class Oracle(nn.Linear):
    def forward(self, x):
        return torch.ones(len(x), 1)


def init_model(model, config):
    model[2] = Oracle(config.hidden_width, 1)


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
