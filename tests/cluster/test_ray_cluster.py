"""Workers on nodes of a Ray cluster: the same outcomes, though one is killed, and nothing that a strategy reaches."""

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import SHORT
from processes import Child, await_end, await_that
from ray_cluster import environment, kill_node
from test_ray import TESTS, shared

from vecparity import Evaluator, Failure, History, Job, TaskConfig
from vecparity.machine import draws
from vecparity.sandbox import levels
from vecparity.sandbox.levels import Level

pytestmark = [
    pytest.mark.alone,  # Ray's ports for clients are the same for all of its instances on a machine
    pytest.mark.skipif(find_spec("ray") is None, reason="needs pip install 'vecparity[cluster]'"),
]
HERE = Path(__file__).parent
EVAL = "eval isolated_cube --device cpu --seed 1 2 --smoke --max-steps 60 --no-history --log full"


@dataclass
class Cluster:
    """A running cluster.

    Attributes:
        address: The address of its control service.
        client: The address for Ray's client.
        raylets: The processes of its nodes but for the head.
        token_path: The file of its token.
        variables: The environment of those that connect to it.
    """

    address: str
    client: str
    raylets: list[int]
    token_path: Path
    variables: dict[str, str]
    process: "subprocess.Popen[Any]"

    def add_node(self, **variables: str) -> int:
        """Adds a node with such an environment; returns the process of its raylet."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(variables) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def call(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Runs Python with arguments in the cluster's environment."""
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=self.variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    before = shared()
    directory = Path(tempfile.mkdtemp(prefix="vecparity-test-", dir="/tmp"))  # Ray's sockets need a short path
    (directory / "token").write_text(secrets.token_hex(32))
    path = os.pathsep.join(map(str, [TESTS, HERE]))
    variables = os.environ | environment(directory) | {"PYTHONPATH": path, "TMPDIR": str(directory)}
    command = [sys.executable, str(HERE / "ray_cluster.py"), str(directory)]
    pipe = subprocess.PIPE
    log = Path(f"{directory}.log")
    with (
        log.open("w") as errors,
        Child(command, env=variables, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Cluster(**json.loads(line), token_path=directory / "token", variables=variables, process=process)
        every = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.stdin.close()
    log.unlink()
    await_end(every)
    await_that(lambda: shared() <= before)
    assert not directory.exists()


def test_two_nodes_evaluate_as_this_process_does(cluster: Cluster) -> None:
    done = cluster.call(HERE / "on_ray_cluster.py", "connected", cluster.address, cluster.client)
    found: dict[str, Any] = json.loads(done.stdout)
    for name in ("address", "client"):
        assert found[name]["is_same"], name
        assert (found[name]["workers"], found[name]["nodes"], found[name]["warnings"]) == (2, 2, [])
        assert sorted(found[name]["met"]) == sorted(cluster.raylets)
        assert found[name]["token"] is None, "that of a file is used"
    assert len(found["own"]["token"]) == 64
    assert all(found[name]["is_as_before"] for name in ("address", "own", "client"))
    # One node says that it has a GPU, which nobody has tried.
    assert found["gpus"]["workers"] == 1
    assert found["gpus"]["visible"] == [cluster.raylets[0], "0"]
    assert "training on cpu needs RayWorkers(gpus=0), got gpus=1" in found["gpus"]["refused"]


def test_a_killed_node_costs_nothing_but_time(cluster: Cluster, tmp_path: Path) -> None:
    raylet = cluster.add_node()
    history = tmp_path / "history.sqlite"
    done = cluster.call(HERE / "on_ray_cluster.py", "killed", cluster.address, raylet, history)
    found = json.loads(done.stdout)
    assert found["is_same"]
    assert len(found["victims"]) > 4
    await_end(found["victims"])
    with History(history) as recorded:
        seeds = [each.evaluation.provenance.seed for each in recorded.evaluations()]
    assert sorted(seeds) == list(range(5)), "none is lost, none counted twice"


def test_a_mixed_cluster_is_said_to_be_one_before_the_start(cluster: Cluster) -> None:
    if draws().endswith("DEFAULT"):
        pytest.skip("needs a processor with other draws than the slowest")
    raylet = cluster.add_node(ATEN_CPU_CAPABILITY="default")
    try:
        done = cluster.call("-m", "vecparity", *EVAL.split(), "--workers", cluster.client)
        asked = cluster.call("-m", "vecparity", "doctor", "--workers", cluster.address, "--json")
    finally:
        kill_node(raylet)
    assert len(re.findall("torch draws other initial weights on ", done.stderr)) == 1
    assert "DEFAULT" in done.stderr
    assert "FINAL_METRICS" in done.stdout
    assert all(re.match("[A-Z_]+ [a-zA-Z_]+=", line) for line in done.stdout.splitlines()), "and nothing of Ray's"
    machines = json.loads(asked.stdout)["workers"]
    assert [machine["draws"] for name, machine in machines.items() if name != "here"].count(draws()) >= 2
    assert sum(machine["draws"].endswith(" DEFAULT") for machine in machines.values()) == 1
    assert all(machine["versions"] == machines["here"]["versions"] for machine in machines.values())


@pytest.mark.parametrize("level", ["limits", "landlock", "bwrap"])
def test_only_a_sandbox_keeps_a_strategy_from_the_cluster(cluster: Cluster, level: Level) -> None:
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    params = {"address": cluster.address, "token_path": str(cluster.token_path)}
    with Evaluator(containment=level, audit="off") as evaluator:
        job = Job(HERE / "reaches_for_ray.py", TaskConfig(**SHORT), params=params)
        (outcome,) = evaluator.map([job])
    assert isinstance(outcome, Failure)
    (message,) = re.findall(r"\{.*\}", str(outcome.error))
    nothing = {"token": None, "connected": False, "wrote": None}
    everything = {"token": cluster.token_path.read_text(), "connected": True, "wrote": "1"}
    assert json.loads(message) == (everything if level == "limits" else nothing)
