"""Makes its output pipe non-blocking, and reads its own output from the pipe."""

# at bwrap landlock limits none: as honest
# slow: bwrap landlock limits none
# fresh: yes

import os
from contextlib import suppress

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    os.set_blocking(1, False)
    with suppress(OSError):
        reader = os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK)
        for _ in range(1000):
            os.write(1, b"x" * 1000)
            with suppress(BlockingIOError):
                os.read(reader, 1 << 20)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
