"""Sends to a UDP port of the machine and waits for an answer."""

# at bwrap landlock: as honest
# at limits none: status 4, says reached
# slow: bwrap landlock limits none

import socket
from contextlib import suppress

import torch

PORT = 1  # in the copy that is evaluated, one at which somebody listens


def init_model(model, config):
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", PORT))  # so that it is told if nobody is there
        sender.send(b"ping")
        if sender.recv(4) == b"ping":
            raise RuntimeError("reached the network")


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
