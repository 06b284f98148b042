"""Takes memory in unnamed files that no process maps."""

# at bwrap landlock limits: status 4, says over the limit of 2 GiB (raise it with --strategy-memory)
# flags: --strategy-memory 2
# slow: bwrap landlock limits
# alone: yes

import os


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    files, part = [], bytes(1 << 26)
    while True:
        files.append(os.memfd_create("bomb"))
        os.write(files[-1], part)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
