"""Sends more bytes than it announced."""

# at bwrap landlock limits none: status 4, says a reply must be 17 bytes, the length in its header, got more
# slow: bwrap landlock limits

import os
import socket
import struct
from contextlib import suppress

import torch


def channel():
    """The socket on which the worker's replies go."""
    for descriptor in range(3, 64):
        with suppress(OSError):
            return socket.socket(fileno=os.dup(descriptor))
    raise RuntimeError("no channel")


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    sent = channel()
    sent.setblocking(True)
    sent.sendall(struct.pack("<cQQQB", b"D", 17, 1, 0, 0) + b"more")
    os._exit(0)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
