"""Raises an exception that pretends to be another, of a class whose name cannot be read."""

# at bwrap landlock limits none: status 4, says make_dataset raised an exception whose message cannot be read
# slow: bwrap landlock limits


class Nameless(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")


class Liar(Exception, metaclass=Nameless):
    @property
    def __class__(self):
        return SystemExit

    def __str__(self):
        raise KeyboardInterrupt


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    raise Liar


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
