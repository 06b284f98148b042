"""Replaces this package's own modules by forged ones, and its checks by none."""

# at bwrap landlock limits none: as honest
# slow: bwrap landlock limits

import sys
from types import ModuleType

import torch


def patch():
    for name in (
        "vecparity.evaluation.result",
        "vecparity.report",
        "vecparity.training.loop",
        "vecparity.task.config",
        "vecparity.eval",
    ):
        sys.modules[name] = ModuleType(name)
    interface = sys.modules["vecparity.strategy.interface"]
    for name in ("accepted_parameters", "accepted_hyperparameters", "accepted_dataset"):
        assert callable(vars(interface)[name]), name  # there is something to patch
    interface.accepted_parameters = lambda model, config: interface.network.flatten(dict(model.named_parameters()))
    interface.accepted_hyperparameters = lambda returned: interface.OptimizerConfig(**returned)


def init_model(model, config):
    patch()


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
