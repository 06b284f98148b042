"""Leaves an endless number of zombie processes."""

# at bwrap landlock limits: status 4, says over the limit of 16
# flags: --strategy-processes 16
# slow: bwrap landlock limits
# alone: yes

import os


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    while True:
        if os.fork() == 0:
            os._exit(0)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
