"""Returns hyperparameters with false comparisons."""

# at bwrap landlock limits none: status 3, says lr must be finite and above 0, got -1.0
# slow: bwrap landlock limits

import torch


class Liar(float):
    def __lt__(self, other):
        return True

    __gt__ = __le__ = __ge__ = __eq__ = __ne__ = __lt__
    __hash__ = None


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": Liar(-1), "wd": Liar("nan"), "beta1": Liar(2), "beta2": Liar(-1)}
