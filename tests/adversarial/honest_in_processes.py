"""Control: draws its rows in other processes, and waits for them."""

# at bwrap landlock limits none: as honest
# slow: landlock limits none

import multiprocessing

import torch


def draw(rows_from, n_features, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (256, n_features), generator=generator)[rows_from : rows_from + 128].tolist()


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        halves = pool.starmap(draw, [(0, config.n_features, seed), (128, config.n_features, seed)])
    x = torch.tensor(halves[0] + halves[1])
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
