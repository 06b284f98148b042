"""Workers on Ray: the same outcomes, nothing that others can reach, and nothing left."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from conftest import SHORT, STRATEGIES
from processes import Child, await_end, await_that, named

from vecparity import Job, TaskConfig
from vecparity.cluster import ray_instance
from vecparity.cluster.choose import opened_workers
from vecparity.cluster.work import options_for_workers, to_work
from vecparity.cluster.worker import close, evaluate_work
from vecparity.errors import UsageError
from vecparity.evaluation.job import Failure, to_task
from vecparity.evaluation.options import Options
from vecparity.sandbox.levels import Level

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs pip install 'vecparity[cluster]'")
TESTS = Path(__file__).parents[1]
EVAL = "eval isolated_cube --device cpu --seed 1 2 --smoke --max-steps 60 --no-history --log full"


def shared() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()} if Path("/dev/shm").exists() else set()


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process with a home and a temporary directory of its own, whose path suits Ray's sockets."""
    (tmp_path / "home").mkdir()
    path = os.pathsep.join(map(str, [TESTS, TESTS / "cluster"]))
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as temporary:
        yield os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": temporary, "PYTHONPATH": path}


@needs_ray
@pytest.mark.slow
@pytest.mark.alone
def test_outcomes_are_bitwise_the_same_though_a_worker_is_killed(surroundings: dict[str, str]) -> None:
    before = shared()
    done = subprocess.run(
        [sys.executable, TESTS / "cluster" / "on_ray.py"], env=surroundings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["killed"]
    assert found["is_same"] and found["are_handlers_kept"]
    assert found["processes"]
    await_end(found["processes"])
    assert set(found["addresses"]) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert not found["token"]
    assert (
        "strategies that are not bundled need containment bwrap or landlock: got limits for varied" in found["refused"]
    )
    assert found["bundled"]
    assert list(Path(surroundings["TMPDIR"]).iterdir()) == []
    await_that(lambda: shared() <= before)  # other tests' processes may have some there for a while
    assert not (Path(surroundings["HOME"]) / ".ray").exists()


@needs_ray
@pytest.mark.slow
@pytest.mark.alone
def test_with_checkpoints_what_is_killed_or_stopped_goes_on(surroundings: dict[str, str], tmp_path: Path) -> None:
    before = shared()
    (tmp_path / "kept").mkdir()
    done = subprocess.run(
        [sys.executable, TESTS / "cluster" / "on_ray_with_checkpoints.py", tmp_path / "kept"],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["is_resumed"]
    assert found["status"] == 75
    assert len(found["handed_back_at"]) == 2
    assert min(found["handed_back_at"]) > 0, "none was due"
    assert found["are_same"] == [True, True]
    assert found["left"] == []
    assert list(Path(surroundings["TMPDIR"]).iterdir()) == []
    await_that(lambda: shared() <= before)


@needs_ray
@pytest.mark.slow
@pytest.mark.alone
def test_a_command_prints_the_same(surroundings: dict[str, str]) -> None:
    said = []
    for flags in ([], ["--workers", "ray"]):
        command = [sys.executable, "-m", "vecparity", *EVAL.split(), *flags]
        said.append(subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True).stdout)
    assert said[0] == said[1]
    assert "TRAIN_METRICS" in said[0]
    assert list(Path(surroundings["TMPDIR"]).glob("*ray*")) == []


DRIVER = """
import time
from vecparity.cluster.ray_workers import RayWorkers
with RayWorkers() as workers:
    sleeping = [workers.submit(time.sleep, 600) for _ in range(workers.num_workers)]
    print("started", flush=True)
    [call.result() for call in sleeping]
"""


@needs_ray
@pytest.mark.slow
@pytest.mark.alone
def test_nothing_remains_of_a_driver_that_is_killed(surroundings: dict[str, str]) -> None:
    place = Path(surroundings["TMPDIR"])
    command = [sys.executable, "-c", DRIVER]
    with Child(command, env=surroundings, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None and first.stdout.readline()
        below = psutil.Process(first.pid).children(recursive=True)
        ours = [process.pid for process in below]
        (directory,) = ray_directories(place)
        (watcher,) = (process for process in below if "ray_directory" in named(process))
        # Both are killed, as by a batch system: the next start removes what remains.
        watcher.kill()
        first.kill()
    with Child(command, env=surroundings, stdout=subprocess.PIPE) as second:
        assert second.stdout is not None and second.stdout.readline()
        await_end(ours)
        assert directory not in ray_directories(place)
        ours = [process.pid for process in psutil.Process(second.pid).children(recursive=True)]
        assert len(ours) > 4
        second.kill()
    await_end(ours)
    await_that(lambda: not ray_directories(place))


def ray_directories(place: Path) -> list[Path]:
    return list(place.glob("vecparity-ray-*"))


@needs_ray
@pytest.mark.parametrize("place", ["10.0.0.1:8265", None])
def test_a_command_says_where_the_dashboard_is(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = SimpleNamespace(
        remote=lambda **options: lambda function: function,
        cluster_resources=dict,
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 2}}],
    )
    monkeypatch.setattr(ray_instance, "connected", lambda address: nullcontext((ray, place)))
    said = list[str]()
    with opened_workers("10.0.0.1:6379", device="cpu", tell=said.append):
        assert said == ([] if place is None else [f"Ray's dashboard: http://{place}"])


@pytest.mark.parametrize("level", ["limits", "none"])
def test_a_shared_worker_calls_no_strangers_without_a_sandbox(level: Level) -> None:
    options = Options(containment=level)
    task = to_task(0, Job(STRATEGIES / "varied.py", TaskConfig(**SHORT)), options)
    try:
        (outcome,) = evaluate_work(to_work([task], options_for_workers(options, 1), is_shared=True)).outcomes
    finally:
        close()
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, UsageError)
    assert f"got {level} for varied" in str(outcome.error)


def test_without_ray_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from vecparity.cluster import choose, ray_instance

    monkeypatch.setattr(ray_instance.importlib.util, "find_spec", lambda name: None)
    for address in ("ray", "ray://somewhere:10001", "10.0.0.1:6379"):
        with pytest.raises(UsageError, match=r"pip install 'vecparity\[cluster\]'"):
            choose.require_workers(address)
    for text in ("rays", "ray://", "somewhere", "http://somewhere:1", ":6379"):
        with pytest.raises(UsageError, match="workers must be a number of processes"):
            choose.require_workers(text)


@needs_ray
def test_an_old_ray_is_refused() -> None:
    code = "import ray; ray.__version__ = '2.51.1'; from vecparity.cluster.ray_workers import RayWorkers; RayWorkers()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "workers on Ray need ray>=2.52" in done.stderr
    assert "got 2.51.1" in done.stderr
