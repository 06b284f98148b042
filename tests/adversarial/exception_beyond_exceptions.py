"""Raises an exception that is not meant to be caught."""

# at bwrap landlock limits none: status 4, says raised Beyond
# slow: bwrap landlock limits


class Beyond(BaseException):
    pass


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    raise Beyond


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
