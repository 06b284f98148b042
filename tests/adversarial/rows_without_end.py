"""Returns views of a single row, 10^12 times."""

# at bwrap landlock limits none: status 3, says max_train_examples=12800000 rows, got 1000000000000
# slow: bwrap landlock limits

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    return torch.zeros(1, config.n_features).expand(10**12, -1), torch.zeros(1).expand(10**12)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
