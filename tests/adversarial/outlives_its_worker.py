"""Leaves processes, in their own sessions, that hold on to everything it was given."""

# at bwrap landlock limits none: as honest
# slow: bwrap landlock limits none
# fresh: yes

import os
import signal
import time

import torch


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    for hidden in (False, True):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            for number in range(1, 32):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    signal.signal(number, signal.SIG_IGN)
            if hidden:
                os.execve("/bin/sleep", ["vecparity-trick", "1000"], {})
            time.sleep(1000)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
