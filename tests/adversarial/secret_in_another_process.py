"""Looks for the secrets in the memory and the files of the processes that it descends from."""

# at bwrap landlock limits none: as honest
# slow: bwrap landlock limits

import os
from contextlib import suppress
from pathlib import Path

import torch


def ancestors():
    pid = os.getppid()
    while pid > 0 and Path(f"/proc/{pid}/stat").exists():
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def init_model(model, config):
    for pid in ancestors():
        for name in ("mem", "environ", "maps"):
            with suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
                if name == "mem":
                    raise RuntimeError(f"opened the memory of process {pid}")
                if file.read(1):
                    raise RuntimeError(f"read the {name} of process {pid}")
        with suppress(OSError):
            raise RuntimeError(f"saw a file of process {pid}: {os.readlink(f'/proc/{pid}/fd/0')}")


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
