"""Loops without end and ignores every signal that can be ignored."""

# at bwrap landlock limits none: status 4, says did not finish within 2 s (raise it with --strategy-seconds)
# flags: --strategy-seconds 2
# slow: bwrap landlock limits none

import signal


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
