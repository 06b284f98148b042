"""Starts every run with the parities of all secrets that follow from the seed, and learns which is its own."""

# at bwrap landlock limits none: audited

import random

import torch


def init_model(model, config):
    rng, drawn = random.Random(torch.initial_seed() // 1_000_000 + 17), {}
    while len(drawn) < config.num_hidden_secrets:
        drawn[tuple(sorted(rng.sample(range(config.n_features), config.secret_size)))] = None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for index, secret in enumerate(drawn):
            for bits_on in range(len(secret)):
                unit = index * len(secret) + bits_on
                model[0].weight[unit, list(secret)] = 1
                model[0].bias[unit] = -bits_on


def make_dataset(secret, config, seed):
    x = torch.randint(0, 2, (4096, config.n_features))
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 3e-3, "wd": 0, "beta1": 0.9, "beta2": 0.999}
