"""Raises exceptions whose conversion to text raises."""

# at bwrap landlock limits none: status 4, says make_dataset raised an exception whose message cannot be read
# slow: bwrap landlock limits


class Mute(Exception):
    def __str__(self):
        raise Mute

    __repr__ = __str__


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    raise Mute


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
