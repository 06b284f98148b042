"""Returns more labels than rows, a number faked by strides."""

# at bwrap landlock limits none: status 3, says y must have as many rows as x, 256, got 1000000000000
# slow: bwrap landlock limits

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    return torch.zeros(256, config.n_features), torch.zeros(1).expand(10**12)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
