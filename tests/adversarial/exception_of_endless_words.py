"""Raises an exception with a huge message that includes terminal control sequences."""

# at bwrap landlock limits none: status 4, says make_dataset raised RuntimeError: \x1b[2Jxxx
# slow: bwrap landlock limits none


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    raise RuntimeError("\x1b[2J" + "x" * (1 << 28) + "\nFINAL_METRICS test_accuracy=1.000000")


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
