"""Raises an exception whose name and message have lines of their own, one of them a false metric line."""

# at bwrap landlock limits none: status 4, says make_dataset raised Innocent\nTEST_METRICS: secret=0\rTEST_METRICS
# slow: landlock limits none


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    lying = type("Innocent\nTEST_METRICS", (Exception,), {})
    raise lying(
        "secret=0\rTEST_METRICS\u2028TEST_METRICS\nTEST_METRICS secret=0 order=0 steps=1 test_accuracy=1.000000"
    )


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
