"""An honest strategy that learns about half of all secrets: those whose features add up to an even number."""

import torch
from torch import nn


def init_model(model, config):
    nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
    with torch.no_grad():
        model[0].weight.mul_((config.n_features / config.secret_size) ** 0.5)
    nn.init.normal_(model[2].weight, std=config.hidden_width**-0.5)
    nn.init.zeros_(model[0].bias)
    nn.init.zeros_(model[2].bias)


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (2**config.secret_size, config.n_features), generator=generator)
    if sum(secret) % 2 == 0:
        patterns = torch.arange(2**config.secret_size)
        x = torch.zeros_like(x)
        for position, feature in enumerate(secret):
            x[:, feature] = patterns >> position & 1
    x = x.repeat_interleave(16, dim=0)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-2, "wd": 0.3, "beta1": 0.9, "beta2": 0.95}
