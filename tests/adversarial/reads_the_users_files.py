"""Reads the user's files."""

# at bwrap landlock: as honest
# at limits none: status 4, says read the user's diary
# slow: landlock limits none

import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

import vecparity


def is_installed(path):
    return any(path.startswith(root) for root in INSTALLED)


INSTALLED = [os.path.realpath(place) for place in (sys.prefix, sys.base_prefix, os.environ["TMPDIR"])]
INSTALLED += [sys.prefix, os.path.dirname(vecparity.__file__), os.path.dirname(torch.__file__)]


def init_model(model, config):
    own = Path(init_model.__code__.co_filename)  # the user's file, of which __file__ is a copy
    for path in (own.with_name("diary"), own, Path("/etc/passwd"), Path("/etc/hostname")):
        with suppress(OSError):
            raise RuntimeError(f"read the user's {path.name}: {path.read_text()[:10]}")
    for path in ("/root", "/home", "/run", "/var", "/mnt", "/tmp"):
        for directory, directories, names in os.walk(path):
            directories[:] = [name for name in directories if not is_installed(os.path.join(directory, name))]
            for name in names:
                if os.access(os.path.join(directory, name), os.R_OK):
                    raise RuntimeError(f"can read {name} in {directory}")


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
