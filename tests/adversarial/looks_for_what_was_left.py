"""Leaves many numbers used up, time spent and things open, and looks for them in the next evaluation."""

# at bwrap landlock: as honest
# slow: bwrap landlock
# twice: yes
# fresh: yes

import os
import tempfile
import threading
from pathlib import Path

import torch

MANY = 300
SHARED = Path("/dev/shm")


def left():
    """Yields all that a worker could see of an earlier evaluation."""
    yield "process numbers", os.getpid() > MANY
    for place in (Path.cwd(), SHARED):
        with tempfile.NamedTemporaryFile(dir=place) as file:
            yield f"file numbers in {place}", os.stat(file.name).st_ino > MANY
    others = {path.name for path in (*Path.cwd().parent.iterdir(), *SHARED.iterdir())} - {Path.cwd().name}
    yield f"files {others}", bool(others)
    server = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    yield "time that the server's children spent", sum(map(int, server[13:15])) > 100
    yield "a niceness", os.getpriority(os.PRIO_PROCESS, os.getppid()) != 0 or os.nice(0) != 0
    # The standard streams, the channel, and this list itself.
    yield "open files", len(os.listdir("/proc/self/fd")) > 6
    yield (
        "other processes",
        any(int(path.name) not in (1, 2, 3, os.getppid(), os.getpid()) for path in Path("/proc").glob("[0-9]*")),
    )


def init_model(model, config):
    for what, is_left in left():
        if is_left:
            raise RuntimeError(f"found {what}")


def make_dataset(secret, config, seed):
    for number in range(MANY):
        thread = threading.Thread(target=int)  # takes a number like a process, in far less time
        thread.start()
        thread.join()
        for place in (Path.cwd(), SHARED):
            (place / str(number)).touch()
    while sum(os.times()[:4]) < 1.5:
        pass
    os.nice(5)
    if os.fork() == 0:
        os.setsid()
        os.execlp("sleep", "sleep", "1000")
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (256, config.n_features), generator=generator)
    return x, x[:, list(secret)].sum(dim=1) % 2


def get_optimizer_config(config):
    return {"lr": 1e-3, "wd": 0.01, "beta1": 0.9, "beta2": 0.99}
