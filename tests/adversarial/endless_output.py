"""Prints without end."""

# at bwrap landlock limits none: status 4, says did not finish within 2 s (raise it with --strategy-seconds)
# flags: --strategy-seconds 2
# slow: bwrap landlock limits none


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    while True:
        print("FINAL_METRICS test_accuracy=1.000000" * 1000)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
