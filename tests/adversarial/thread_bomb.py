"""Starts threads without end."""

# at bwrap landlock limits: status 4, says threads at a time, over the limit of
# flags: --strategy-processes 1
# slow: landlock limits
# alone: yes

import threading
import time

threading.stack_size(1 << 16)


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    while True:
        threading.Thread(target=time.sleep, args=(1000,)).start()


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
