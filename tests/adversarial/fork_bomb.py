"""Forks without end."""

# at bwrap landlock limits: status 4, says over the limit of 16
# flags: --strategy-processes 16
# slow: landlock limits
# fresh: yes
# alone: yes

import os

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    while True:
        os.fork()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
