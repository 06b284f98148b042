"""Calls itself without end."""

# at bwrap landlock limits none: status 4, says make_dataset ended its process by SIGSEGV
# slow: bwrap landlock limits

import sys


class Deep:
    def __call__(self, *arguments):
        return repr(self)

    def __repr__(self):
        return f"{self!r}"


sys.setrecursionlimit(1 << 30)


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    return Deep()()


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
