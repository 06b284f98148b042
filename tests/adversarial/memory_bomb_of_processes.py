"""Takes memory in several processes, each below the limit."""

# at bwrap landlock limits: status 4, says over the limit of 2 GiB (raise it with --strategy-memory)
# flags: --strategy-memory 2
# slow: bwrap landlock limits
# alone: yes

import os
import time

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    for _ in range(8):
        if os.fork() == 0:
            taken = torch.ones(1 << 27)
            time.sleep(1000 * taken[0].item())
        time.sleep(0.2)
    time.sleep(1000)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
