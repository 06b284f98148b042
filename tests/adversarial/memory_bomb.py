"""Takes memory without end."""

# at bwrap landlock limits: status 4, says over the limit of 2 GiB (raise it with --strategy-memory)
# flags: --strategy-memory 2
# slow: bwrap landlock limits
# alone: yes

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    taken = []
    while True:
        taken.append(torch.ones(1 << 24))


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
