"""Closes every file and socket that it was given, and never ends."""

# at bwrap landlock limits none: status 4, says did not finish within 2 s (raise it with --strategy-seconds)
# flags: --strategy-seconds 2
# slow: bwrap landlock limits none

import os
import time

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    os.closerange(0, 1 << 16)
    time.sleep(1000)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
