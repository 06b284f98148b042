"""Makes a parameter of a class that answers operations falsely."""

# at bwrap landlock limits none: status 3, says a Parameter of torch's own class, got Liar
# slow: bwrap landlock limits

import torch
from torch import nn


class Liar(nn.Parameter):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        return super().__torch_function__(function, types, arguments, keywords or {})


def init_model(model, config):
    model[0].weight = Liar(model[0].weight.detach())


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
