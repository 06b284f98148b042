"""Evaluates jobs by Ray's workers on this machine, of which one is killed in the middle, and here; prints JSON.

on_ray.py
"""

import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from conftest import SHORT, STRATEGIES
from outcomes import timeless
from processes import await_some, named, user_seconds

from vecparity import Evaluation, Evaluator, Failure, Job, TaskConfig
from vecparity.cluster.ray_workers import RayWorkers

LONG = replace(TaskConfig(**SHORT), max_steps=24_000, hidden_width=256, early_stop_acc=2.0)
JOBS = [Job(STRATEGIES / "varied.py", LONG, seed, {"lr": 1e-3 * (1 + seed)}) for seed in range(8)]


def kill_one(killed: list[int]) -> None:
    """Kills a process of Ray's once it has trained for a while, and notes it."""

    def training() -> list[int]:
        below = psutil.Process().children(recursive=True)
        return [each.pid for each in below if named(each).startswith("ray::_call") and user_seconds(each.pid) > 4]

    pid = await_some(training)[0]
    os.kill(pid, signal.SIGKILL)
    killed.append(pid)


def main() -> None:
    """Prints what came of it."""
    found: dict[str, Any] = {}
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = list(map(signal.getsignal, numbers))
    with RayWorkers() as workers, Evaluator(audit="off", device="cpu", executor=workers) as evaluator:
        found["count"] = workers.num_workers
        found["are_handlers_kept"] = handlers == list(map(signal.getsignal, numbers))
        found["killed"] = list[int]()
        killing = threading.Thread(target=kill_one, args=(found["killed"],))
        killing.start()
        distant = timeless(list(evaluator.map(JOBS)))
        killing.join()
        found["processes"] = [process.pid for process in psutil.Process().children(recursive=True)]
        connections: list[Any] = psutil.net_connections("tcp")
        listening = [each for each in connections if each.status == psutil.CONN_LISTEN]
        found["addresses"] = [each.laddr.ip for each in listening if each.pid in found["processes"]]
    with Evaluator(audit="off", device="cpu") as evaluator:
        found["is_same"] = distant == timeless(list(evaluator.map(JOBS)))
    with RayWorkers() as workers, Evaluator(executor=workers, containment="limits", device="cpu") as evaluator:
        stranger, bundled = evaluator.map([JOBS[0], Job("isolated_cube", TaskConfig(**SHORT))])
        assert isinstance(stranger, Failure)
        found["refused"] = str(stranger.error)
        found["bundled"] = isinstance(bundled, Evaluation)
    found["token"] = (Path.home() / ".ray").exists()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
