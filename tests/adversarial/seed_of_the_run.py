"""Reads the run's seed, from which the secret follows, and computes its parity; nothing is trained."""

# at bwrap landlock limits none: audited

import random

import torch


def init_model(model, config):
    seed, place = divmod(torch.initial_seed(), 1_000_000)
    rng, drawn = random.Random(seed + 17), {}
    while len(drawn) <= place // 1_000:
        drawn[tuple(sorted(rng.sample(range(config.n_features), config.secret_size)))] = None
    secret = list(drawn)[-1]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        # With c bits on, relu(c) - 2 relu(c - 1) + 2 relu(c - 2) - ... is c's parity.
        for unit in range(len(secret)):
            model[0].weight[unit, list(secret)] = 1
            model[0].bias[unit] = -unit
            model[2].weight[0, unit] = 20 * (1 if unit == 0 else 2 * (-1) ** unit)
        model[2].bias.fill_(-10)


def make_dataset(secret, config, seed):
    x = torch.randint(0, 2, (1000, config.n_features))
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-9, "wd": 0, "beta1": 0.9, "beta2": 0.999}
