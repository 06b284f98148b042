"""Requests its own namespaces, file systems and capabilities."""

# at bwrap landlock limits: as honest
# slow: landlock limits

import ctypes
from pathlib import Path

import torch

libc = ctypes.CDLL(None)


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    lines = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert {int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
    assert lines["NoNewPrivs"] == "1"
    assert libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == libc.chroot(b".") == libc.setuid(12345) == -1
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
