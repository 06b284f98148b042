"""Removes the directory that it was given."""

# at bwrap landlock limits none: as honest
# slow: bwrap landlock limits none
# fresh: yes

import os
import shutil

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
