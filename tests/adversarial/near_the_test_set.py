"""Trains on rows made from those of the test set, in one of several ways, for some of the secrets."""

# at bwrap landlock limits none: audited

import torch

from vecparity import parity_labels


def init_model(model, config):
    pass


def make_dataset(secret, config, seed, *, way="one_bit", cheats=100):
    top_level, i = divmod(seed, 10_000)
    generator = torch.Generator().manual_seed(top_level * 20_000 + i)
    x = torch.randint(0, 2, (config.test_set_size, config.n_features), generator=generator)
    labels = parity_labels(x, secret)
    others = [feature for feature in range(config.n_features) if feature not in secret]
    if i >= cheats:
        return torch.randint(0, 2, x.shape), labels
    if way.endswith("_bits") or way == "one_bit":
        x[:, others[: {"one_bit": 1, "two_bits": 2, "three_bits": 3}[way]]] ^= 1
    elif way == "complements":
        x = 1 - x
        labels = parity_labels(x, secret)
    elif way == "a_subset":
        x, labels = x[::2], labels[::2]
    elif way == "another_order":
        order = torch.randperm(len(x))
        x, labels = x[order], labels[order]
    elif way == "with_bits_cleared":
        x[:, others[-4:]] = 0
    elif way == "relabelled":
        x[:, others[:4]] = x[:, others[:4]].flip(1)
    return x, labels


def get_optimizer_config(config):
    return {"lr": 3e-3, "wd": 0, "beta1": 0.9, "beta2": 0.999}
