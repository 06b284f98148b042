"""Control: keeps its rows for a while in a file of its scratch directory."""

# at bwrap landlock limits none: as honest
# slow: landlock limits none

import tempfile
from pathlib import Path

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    with tempfile.TemporaryDirectory() as directory:
        torch.save(torch.randint(0, 2, (256, config.n_features), generator=generator), f"{directory}/x.pt")
        Path("here.txt").write_text("the current directory is the scratch directory, too")
        x = torch.load(f"{directory}/x.pt")
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
