"""Connects to a Unix socket of the user, such as that of a container engine or key agent."""

# at bwrap landlock: as honest
# at limits none: status 4, says reached
# slow: landlock limits none

import os
import socket
from contextlib import suppress

import torch


def init_model(model, config):
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.path.join(os.path.dirname(init_model.__code__.co_filename), "socket"))
        raise RuntimeError("reached a socket")


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
