"""Workers on Ray: the same outcomes, nothing that others can reach, and nothing left."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import SHORT, STRATEGIES
from processes import await_that

from vecparity import Job, TaskConfig
from vecparity.cluster.work import options_for_workers, to_work
from vecparity.cluster.worker import close, evaluate_work
from vecparity.errors import UsageError
from vecparity.evaluation.job import Failure, to_task
from vecparity.evaluation.options import Options
from vecparity.sandbox.levels import Level

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs pip install 'vecparity[cluster]'")
TESTS = Path(__file__).parents[1]
EVAL = "eval isolated_cube --seed 1 2 --smoke --max-steps 60 --no-history --log full"


def shared() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()} if Path("/dev/shm").exists() else set()


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """The environment of a process with a home and a temporary directory of its own, whose path is short."""
    (tmp_path / "home").mkdir()
    (tmp_path / "t").mkdir()
    path = os.pathsep.join(map(str, [TESTS, TESTS / "cluster"]))
    return os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "t"), "PYTHONPATH": path}


@needs_ray
@pytest.mark.slow
def test_outcomes_are_bitwise_the_same_though_a_worker_is_killed(surroundings: dict[str, str]) -> None:
    before = shared()
    done = subprocess.run(
        [sys.executable, TESTS / "cluster" / "on_ray.py"], env=surroundings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["is_same"] and found["are_handlers_kept"]
    assert found["processes"]
    await_that(lambda: not any(map(psutil.pid_exists, found["processes"])))
    assert set(found["addresses"]) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert not found["token"]
    assert (
        "strategies that are not bundled need containment bwrap or landlock: got limits for varied" in found["refused"]
    )
    assert found["bundled"]
    assert list(Path(surroundings["TMPDIR"]).iterdir()) == []
    assert shared() <= before
    assert not (Path(surroundings["HOME"]) / ".ray").exists()


@needs_ray
@pytest.mark.slow
def test_with_checkpoints_what_is_killed_or_stopped_goes_on(surroundings: dict[str, str], tmp_path: Path) -> None:
    before = shared()
    (tmp_path / "kept").mkdir()
    done = subprocess.run(
        [sys.executable, TESTS / "cluster" / "on_ray_with_checkpoints.py", tmp_path / "kept"],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
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
    assert shared() <= before


@needs_ray
@pytest.mark.slow
def test_a_command_prints_the_same(surroundings: dict[str, str]) -> None:
    said = []
    for flags in ([], ["--workers", "ray"]):
        command = [sys.executable, "-m", "vecparity", *EVAL.split(), *flags]
        said.append(subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True).stdout)
    assert said[0] == said[1]
    assert "TRAIN_METRICS" in said[0]
    assert list(Path(surroundings["TMPDIR"]).glob("*ray*")) == []


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
    from vecparity.cluster import choose, ray_workers

    monkeypatch.setattr(ray_workers.importlib.util, "find_spec", lambda name: None)
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
