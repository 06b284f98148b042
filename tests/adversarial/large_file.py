"""Writes a file without end."""

# at bwrap landlock limits: status 4, says over the limit of 64 MiB (raise it with --strategy-file-size)
# flags: --strategy-file-size 64
# slow: bwrap landlock limits


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    with open("large", "wb") as file:
        while True:
            file.write(bytes(1 << 20))


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
