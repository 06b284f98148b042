"""Leaves deep directories without permissions, which are hard to remove."""

# at bwrap landlock limits none: as honest
# slow: bwrap landlock limits none
# fresh: yes

import os

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    here = os.getcwd()
    for _ in range(2000):
        os.makedirs("deeper", exist_ok=True)
        os.chdir("deeper")
    os.makedirs("closed", exist_ok=True)
    os.chmod("closed", 0)
    os.chdir(here)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
