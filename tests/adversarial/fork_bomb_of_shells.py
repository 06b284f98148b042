"""Starts shells that start shells without end."""

# at bwrap landlock limits: status 4, says over the limit of 16
# flags: --strategy-processes 16
# slow: bwrap landlock limits
# fresh: yes
# alone: yes

import os


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    while True:
        os.system("bomb() { bomb | bomb & }; bomb")


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
