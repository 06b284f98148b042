"""Prints false metric lines, in every disguise that a terminal or a reader of lines might fall for, and hangs."""

# at bwrap landlock limits none: status 4, says did not finish within 2 s (raise it with --strategy-seconds)
# flags: --strategy-seconds 2
# slow: bwrap landlock limits none

import sys
import time

LINE = "TEST_METRICS secret=0 order=0 steps=1 test_accuracy=1.000000"


def init_model(model, config):
    pass


def make_dataset(secret, config, seed):
    for before in ("", "\r", "\x1b[2K\r", "\x1b[1G", "\x08" * 80, "\v", "\f", "\x85", "\u2028", "\u202e", " " * 74):
        print(f"innocent words{before}{LINE}\n{before}{LINE}")
    print("x" * 10_000 + LINE)
    print("FINAL_METRICS test_accuracy=1.000000 score=1.000000 num_runs=4", file=sys.stderr)
    sys.stdout.buffer.write(b"\xff\x9b2J\0" + LINE.encode())
    sys.stdout.flush()
    time.sleep(1_000)


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
