"""Evaluates by the machines of a Ray cluster, in the ways that `test_ray_cluster` names, and here; prints JSON.

on_ray_cluster.py connected ADDRESS CLIENT_ADDRESS
on_ray_cluster.py killed ADDRESS RAYLET HISTORY
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
from conftest import SHORT, STRATEGIES
from meeting import met
from on_ray import JOBS
from outcomes import timeless
from processes import await_some, await_that, named, user_seconds
from ray_cluster import kill_node

from vecparity import Evaluator, Job, TaskConfig
from vecparity.cluster.ray_workers import RayWorkers
from vecparity.errors import UsageError

QUICK = [Job(STRATEGIES / "varied.py", TaskConfig(**SHORT), seed) for seed in range(4)]


def speaking() -> None:
    """Speaks as a worker's libraries may."""
    print("TEST_METRICS test_accuracy=1.000000 score=1.000000", flush=True)


def visible_gpus() -> tuple[int, str | None]:
    return os.getppid(), os.environ.get("CUDA_VISIBLE_DEVICES")


def set_apart() -> dict[str, str]:
    """The variables of the environment that decide whom Ray lets in."""
    return {name: value for name, value in os.environ.items() if name.startswith(("RAY_AUTH", "RAY_ENABLE"))}


def connected(address: str, client: str) -> dict[str, Any]:
    """Evaluates by a machine of the cluster and by Ray's client, and has an instance of its own in between."""
    found: dict[str, Any] = {}
    with Evaluator(audit="off", device="cpu") as evaluator:
        here = timeless(list(evaluator.map(QUICK)))
    before = set_apart()
    for name, where in {"address": address, "own": None, "client": client}.items():
        with RayWorkers(where) as workers:
            found[name] = {"workers": workers.num_workers, "nodes": len(workers.nodes())}
            if where is not None:
                meeting = Path(os.environ["HOME"], name)
                meeting.mkdir()
                found[name]["met"] = [
                    future.result() for future in [workers.submit(met, str(meeting), 2) for _ in range(2)]
                ]
                workers.submit(speaking).result()
                with Evaluator(audit="off", device="cpu", executor=workers) as evaluator:
                    found[name]["is_same"] = here == timeless(list(evaluator.map(QUICK)))
            found[name]["warnings"] = workers.warnings
            found[name]["token"] = os.environ.get("RAY_AUTH_TOKEN")
        found[name]["is_as_before"] = before == set_apart()
    with RayWorkers(address, gpus=1) as workers:
        found["gpus"] = {"workers": workers.num_workers, "visible": workers.submit(visible_gpus).result()}
        try:
            Evaluator(executor=workers, device="cpu")
        except UsageError as error:
            found["gpus"]["refused"] = str(error)
    return found


def workers_of(node: psutil.Process) -> list[psutil.Process]:
    return [child for child in node.children() if named(child).startswith("ray::_call")]


def killed(address: str, raylet: str, history: str) -> dict[str, Any]:
    """Evaluates while a node and all that runs on it are killed."""
    node = psutil.Process(int(raylet))
    victims: list[int] = []

    def kill() -> None:
        (worker,) = await_some(lambda: workers_of(node))
        before = user_seconds(worker.pid)
        await_that(lambda: user_seconds(worker.pid) > before + 1)
        victims.extend(kill_node(node.pid))

    with (
        RayWorkers(address) as workers,
        Evaluator(audit="off", device="cpu", executor=workers, history=history) as evaluator,
    ):
        killing = threading.Thread(target=kill)
        killing.start()
        distant = timeless(list(evaluator.map(JOBS[:5])))
        killing.join()
    with Evaluator(audit="off", device="cpu") as evaluator:
        is_same = distant == timeless(list(evaluator.map(JOBS[:5])))
    return {"is_same": is_same, "victims": victims}


if __name__ == "__main__":
    way, *arguments = sys.argv[1:]
    json.dump(connected(*arguments) if way == "connected" else killed(*arguments), sys.stdout)
