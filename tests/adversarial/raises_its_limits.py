"""Raises the limits that were set for it."""

# at bwrap landlock limits: as honest
# slow: landlock limits

import resource

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        _, hard = resource.getrlimit(limit)
        assert hard != resource.RLIM_INFINITY
        try:
            resource.setrlimit(limit, (hard + 1, hard + 1))
        except ValueError:
            continue
        raise RuntimeError("raised a limit")
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
