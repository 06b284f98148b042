"""Takes shared memory, which counts for no process."""

# at bwrap landlock limits: status 4, says over the limit of 2 GiB (raise it with --strategy-memory)
# flags: --strategy-memory 2
# slow: bwrap landlock limits
# alone: yes

import mmap
import os
import time


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    for _ in range(8):
        if os.fork() == 0:
            taken = mmap.mmap(-1, 1 << 29)
            taken.write(bytes(1 << 29))
            time.sleep(1000)
        time.sleep(0.2)
    time.sleep(1000)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
