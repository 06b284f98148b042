"""Connects to a TCP port of the machine."""

# at bwrap landlock: as honest
# at limits none: status 4, says reached
# slow: landlock limits none

import socket
from contextlib import suppress

import torch

PORT = 1  # in the copy that is evaluated, one at which somebody listens


def init_model(model, config):
    with suppress(OSError), socket.create_connection(("127.0.0.1", PORT), timeout=1):
        raise RuntimeError("reached the network")


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
