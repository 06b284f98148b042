"""Control: prints to both streams, which does no harm."""

# at bwrap landlock limits none: as honest
# slow: landlock limits none

import sys

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    print("secret", secret)
    print("seed", seed, file=sys.stderr)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
