import json
import random
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import CPU, RunCommand

from vecparity import machine
from vecparity.cluster.nodes import this_node
from vecparity.cluster.ray_instance import token_in_words
from vecparity.errors import MachineError
from vecparity.history import store
from vecparity.inspection import doctor, speed
from vecparity.kernels.cpu import native
from vecparity.sandbox import levels
from vecparity.sandbox.limits import num_cpus
from vecparity.task.config import TaskConfig
from vecparity.training import random_streams
from vecparity.training.engines.select import choose_devices, choose_engine

ENGINES = ["native", "cuda", "triton", "vmap", "reference"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_SECONDS", 0.02)


def test_as_json(run_command: RunCommand) -> None:
    status, out, _ = run_command("doctor", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["versions"]["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert len(found["gpus"]) == torch.cuda.device_count()
    assert found["history"] == str(store.default_path())
    assert [engine["name"] for engine in found["engines"]] == ENGINES
    for engine in found["engines"]:
        assert (engine["speed"] is None) == (engine["why_not"] is not None), engine
        assert engine["speed"] is None or engine["speed"]["run_steps_per_second"] > 0
    assert found["engines"][0]["levels"] == native.levels()
    auto = choose_engine("auto", choose_devices("auto"), torch.float32, TaskConfig())
    assert [engine["name"] for engine in found["engines"] if engine["is_auto"]] == [auto]
    assert [level["name"] for level in found["containment"] if level["is_auto"]] == [levels.choose("auto")]
    assert [stream["name"] for stream in found["streams"]] == [stream.name for stream in random_streams.STREAMS]
    assert {stream["likeness"] for stream in found["streams"]} <= {"same", "rounded"}
    extras = {extra["name"]: extra["version"] for extra in found["extras"]}
    assert {name: extras.pop(name) for name in ("matplotlib", "pandas", "tensorboard")} == {
        name: version(name) for name in ("matplotlib", "pandas", "tensorboard")
    }
    assert extras.keys() == {"cuda-core", "optuna", "ray", "mcp", "inspect-ai"}  # of which the first is for Linux only
    assert found["workers"].keys() == {"here"}
    assert found["workers"]["here"] == asdict(this_node())
    assert found["auto"].startswith(f"{auto}: ")


def test_an_engine_that_cannot_be_measured_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(name: str, device: torch.device) -> None:
        raise MachineError("NVRTC cannot compile the kernel")

    monkeypatch.setattr(doctor, "measure", measure)
    found = {engine.name: engine for engine in doctor.diagnose().engines}
    assert found["vmap"].why_not == "cannot be measured: NVRTC cannot compile the kernel"
    assert found["vmap"].speed is None


def lines_of(out: str) -> dict[str, str]:
    """Lines by their first word."""
    return {line.split()[0]: line for line in out.splitlines() if line.strip()}


def test_for_people_with_what_is_missing(
    run_command: RunCommand, without_native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(native, "PROBLEM", "was not built")
    monkeypatch.setattr(doctor, "version", missing)
    monkeypatch.setattr(levels, "why_not", lambda level: None if level == "none" else f"needs what {level} needs")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(random.Random, "sample", lambda self, features, k: list(range(k)))
    status, out, err = run_command("doctor")
    assert (status, err) == (0, "")
    lines = lines_of(out)
    assert lines["native"].split() == ["native", "cpu", "—", "was", "not", "built"]
    assert "trains on CUDA (compute capability 8.0 or newer), got cpu" in lines["triton"]
    assert "trains on CUDA (compute capability 8.0 or newer), got cpu" in lines["cuda"]
    assert lines["auto"].split(maxsplit=1)[1] == "vmap: there is no GPU that PyTorch can use; native was not built"
    assert lines["vmap"].split()[:3] == ["vmap", "auto", "cpu"]
    assert "needs what bwrap needs" in lines["bwrap"] and "auto" not in lines["bwrap"]
    assert lines["none"].split() == ["none", "auto", "available"]
    assert "other than the original's: compare only with evaluations of this machine" in lines["secrets"]
    assert lines["permutations"].endswith("as the original's")
    assert "not installed: pip install 'vecparity[report]'" in lines["matplotlib"]
    assert "vecparity 0" in lines["versions"] and "threads" in lines["processor"]
    assert "none that PyTorch can use" in lines["GPUs"]
    assert lines["here"].split()[1:5] == [machine.host(), *machine.draws().split(), str(num_cpus())]
    assert " none " in lines["here"]
    assert "RAY_AUTH_MODE is not set" in lines["Ray's"]
    assert "not installed: pip install 'vecparity[cluster]'" in lines["ray"]


def test_workers_that_are_none(run_command: RunCommand) -> None:
    status, _, err = run_command("doctor", "--workers", "somewhere")
    assert status == 2
    assert "expected a cluster, ray://HOST:PORT" in err


def test_where_rays_token_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    file = tmp_path / ".ray" / "auth_token"
    assert token_in_words() == f"RAY_AUTH_MODE=token, but there is no {file}"
    file.parent.mkdir()
    file.write_text("secret")
    assert token_in_words() == f"RAY_AUTH_MODE=token, by {file}"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert token_in_words() == "RAY_AUTH_MODE=token, by RAY_AUTH_TOKEN"


@pytest.mark.parametrize("seconds_per_step", [0.001, 0.004])
def test_an_engine_of_a_known_speed(monkeypatch: pytest.MonkeyPatch, seconds_per_step: float) -> None:
    """Of which one window is disturbed, and the first of a length is slow."""
    now, lengths = [0.0], []

    def advance(ensemble: Any, window: Any) -> SimpleNamespace:
        slower = 1 if window.num_steps in lengths else 50
        lengths.append(window.num_steps)
        slower *= 4 if lengths.count(window.num_steps) == 4 else 1
        now[0] += slower * seconds_per_step * window.num_steps
        return SimpleNamespace(loss=torch.zeros(ensemble.num_runs))

    make: Callable[..., SimpleNamespace] = lambda name, chunk_runs: SimpleNamespace(advance=advance)  # noqa: E731
    monkeypatch.setattr(speed, "make_engine", make)
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    measured = speed.measure("native", CPU)
    rate = measured.num_runs / seconds_per_step
    assert measured.run_steps_per_second == pytest.approx(rate)
    assert measured.slowest == pytest.approx(rate / 4)
    assert measured.fastest == pytest.approx(rate)
