"""Adds a hook to a parameter that changes its gradients."""

# at bwrap landlock limits none: status 3, says without hooks, got _backward_hooks on Parameter
# slow: bwrap landlock limits

import torch


def init_model(model, config):
    model[0].weight.register_hook(lambda gradient: 0 * gradient)


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
