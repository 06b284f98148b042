"""Writes files wherever the user may."""

# at bwrap landlock: as honest
# slow: bwrap landlock
# fresh: yes

import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

import vecparity


def init_model(model, config):
    places = ["/tmp", "/var/tmp", "/dev/shm", "/", "/usr", "/etc", "/dev", sys.prefix, sys.base_prefix]
    own = init_model.__code__.co_filename  # the user's file, of which __file__ is a copy
    places += [os.path.dirname(path) for path in (own, torch.__file__, vecparity.__file__)]
    for place in places:
        with suppress(OSError):
            (Path(place) / "vecparity-trick").write_text("was here")
    for path in (own, vecparity.__file__):
        with suppress(OSError):
            os.utime(path, (0, 0))
            Path(path).chmod(0)


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
