"""Looks for the key of a sealed evaluation: in every file that is not installed, and in the processes that it sees."""

# at bwrap landlock: as honest
# slow: bwrap landlock

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

import torch

KEY = re.compile(rb"[0-9a-f]{64}\n?")
SHOWN = re.compile(rb"\.key\b|--seal")
INSTALLED = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, Path(torch.__file__).parents[1])}
INSTALLED |= {"/usr", "/proc", "/sys"}
OWN = Path((lambda: None).__code__.co_filename)  # the user's file, of which __file__ is a copy


def found():
    """Yields every place that shows the key, or that there is one."""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                if SHOWN.search((process / name).read_bytes()):
                    yield f"/proc/{process.name}/{name}"
        with suppress(OSError):
            for number in os.listdir(process / "fd"):
                with suppress(OSError):
                    target = process / "fd" / number
                    if SHOWN.search(os.readlink(target).encode()) or is_key(target):
                        yield f"an open file of process {process.name}"
    for top in (str(OWN.parent), "/"):
        for directory, directories, names in os.walk(top):
            directories[:] = [name for name in directories if os.path.join(directory, name) not in INSTALLED]
            yield from (f"{directory}/{name}" for name in names if is_key(Path(directory, name)))


def is_key(path):
    with suppress(OSError):
        if path.is_file() and path.stat().st_size in (64, 65):
            return KEY.fullmatch(path.read_bytes()) is not None
    return False


def init_model(model, config):
    for place in found():
        raise RuntimeError(f"found the key: {place}")


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
