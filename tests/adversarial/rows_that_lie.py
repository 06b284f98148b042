"""Returns rows of a class that answers operations falsely."""

# at bwrap landlock limits none: status 4, says what make_dataset returned raised
# slow: bwrap landlock limits

import torch


class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        if function.__name__ in ("any", "__eq__", "__ne__", "ne"):
            return False
        return super().__torch_function__(function, types, arguments, keywords or {})


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    x = torch.full((256, config.n_features), 0.5).as_subclass(Liar)
    return x, torch.ones(256)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
