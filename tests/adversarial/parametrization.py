"""Adds a parametrization that recomputes the weights in every step."""

# at bwrap landlock limits none: status 3, says got ParametrizedLinear
# slow: bwrap landlock limits

import torch
from torch import nn


class Constant(nn.Module):
    def forward(self, weight):
        return torch.ones_like(weight)


def init_model(model, config):
    nn.utils.parametrize.register_parametrization(model[0], "weight", Constant())


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
