"""Takes memory in several processes, each below the limit."""

# at bwrap landlock limits: status 4, says over the limit of 2 GiB (raise it with --strategy-memory)
# flags: --strategy-memory 2 --strategy-seconds 30
# slow: bwrap landlock limits
# alone: yes

import os
import time

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    while os.fork():
        time.sleep(0.2)
    taken = torch.ones(1 << 27)
    time.sleep(1000)
    return taken


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
