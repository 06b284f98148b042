"""Uses the CPU without end and ignores the signal that warns it."""

# at bwrap landlock limits: status 4, says over the limit of 1 s (raise it with --strategy-cpu-seconds)
# flags: --strategy-cpu-seconds 1
# slow: bwrap landlock limits

import signal


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
