"""`scripts/bench_cuda` without a GPU: every stage in tiny sizes, and the handling of a failed stage."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import cuda_commands, cuda_packages, cuda_stages, gpu_table, kernels, tables
from benchmarks.stages import SKIPPED, Stage

ROOT = cuda_packages.ROOT
SCRIPT = ROOT / "scripts" / "bench_cuda"


@pytest.mark.slow
@pytest.mark.timeout(len(cuda_stages.LIMITS) * cuda_stages.REHEARSAL_SECONDS)  # by which each stage is ended
def test_the_rehearsal_goes_through_every_stage(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [str(SCRIPT), "--rehearse", "--output", str(tmp_path)]
    done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    content = json.loads((tmp_path / "gpu_stages.json").read_text())
    assert content["machine"] == json.loads((tmp_path / "gpu_versions.json").read_text())["machine"]
    ended = {stage["name"].removeprefix("gpu_"): stage for stage in content["stages"]}
    assert list(ended) == list(cuda_stages.LIMITS)
    lacking = {name for name, stage in ended.items() if stage["status"] == "skipped"}
    assert lacking <= {"compile", "jax", *(name for name in ended if name.endswith("_triton"))}, done.stdout
    written = {path.stem.removeprefix("gpu_") for path in tmp_path.glob("*.json")} - {"stages"}
    assert written == set(ended) - lacking - {"packages", "extension"}
    for name in written:
        machine = json.loads((tmp_path / f"gpu_{name}.json").read_text())["machine"]
        assert {"processor", "gpu", "torch", "commit"} <= set(machine)


def test_stages_have_limits_that_add_up_to_less_than_nine_minutes() -> None:
    assert list(cuda_stages.commands(cuda_stages.ENGINES, Path())) == list(cuda_stages.LIMITS)
    assert list(cuda_stages.rehearsed(cuda_stages.ENGINES, Path())) == list(cuda_stages.LIMITS)
    assert sum(cuda_stages.LIMITS.values()) <= 9 * 60


def test_an_engine_may_be_chosen() -> None:
    chosen = cuda_stages.commands(("vmap",), Path())
    assert {name for name in cuda_stages.LIMITS if name not in chosen} == {
        *("compile", "kernels_cuda", "kernels_triton", "traces_cuda", "traces_triton"),
        *("ncu_cuda", "ncu_triton", "sanitizer_cuda", "sanitizer_triton"),
    }
    assert "cuda" not in chosen["throughput"][3:] + chosen["jax"]


@pytest.mark.slow
def test_a_stage_that_is_broken_fails_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = ("-m", "benchmarks.cuda_commands", "versions", "--device", "cpu", "--output-dir", str(tmp_path), "--output")
    made = [
        Stage("gpu_versions", (*good, "gpu_versions"), 200),
        Stage("gpu_kernels_cuda", ("-m", "benchmarks.kernels", "times", "no_such_engine"), 200),
        Stage("gpu_hangs", ("-c", "import time; time.sleep(1000)"), 1),
        Stage("gpu_last", (*good, "gpu_last"), 200),
    ]
    assert cuda_stages.run(made, tmp_path / "environment", tmp_path, is_rehearsal=True) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines[-6:-2]] == [
        ["gpu_versions", "passed"],
        ["gpu_kernels_cuda", "failed"],
        ["gpu_hangs", "failed"],
        ["gpu_last", "passed"],
    ]
    assert {path.name for path in tmp_path.glob("*.json")} == {"gpu_versions.json", "gpu_last.json", "gpu_stages.json"}


def test_a_gpu_that_is_not_there_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        cuda_commands.versions(output_dir=tmp_path)
    assert ended.value.code == "no CUDA GPU that PyTorch can use"
    assert json.loads((tmp_path / "versions.json").read_text())["gpu"] is None


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("command", "text", "code"),
    [
        (cuda_commands.ncu, "echo '==ERROR== ERR_NVGPUCTRPERM - The user does not have permission'; exit 1", SKIPPED),
        (cuda_commands.ncu, "echo '==ERROR== Failed to initialize the profiler: LibraryNotLoaded'; exit 1", SKIPPED),
        (cuda_commands.ncu, "echo 'RuntimeError: no such kernel'; exit 1", "ncu profiled no launch of train_window"),
        (cuda_commands.ncu, "echo '==WARNING== No kernels were profiled.'", "ncu profiled no launch of train_window"),
        (cuda_commands.sanitizer, "echo '========= Error: Device not supported. Please refer to'; exit 1", SKIPPED),
        (
            cuda_commands.sanitizer,
            "echo '========= ERROR SUMMARY: 2 errors'; exit 9",
            "compute-sanitizer, memcheck: ERROR SUMMARY: 2 errors",
        ),
        (cuda_commands.sanitizer, "exit 1", "compute-sanitizer, memcheck: no summary"),
    ],
)
def test_a_tool_that_cannot_look_is_skipped_and_one_that_finds_something_fails(
    command: Callable[..., None], text: str, code: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ncu", "compute-sanitizer"):
        program(tmp_path / name, text)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SystemExit) as ended:
        command("cuda", output_dir=tmp_path / "results")
    assert ended.value.code == code or str(ended.value.code).startswith(f"{code}")


@pytest.mark.parametrize("command", [cuda_commands.ncu, cuda_commands.sanitizer])
def test_a_tool_that_is_not_installed_is_skipped(
    command: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        command("cuda", output_dir=tmp_path)
    assert ended.value.code == SKIPPED
    assert capsys.readouterr().out.endswith(" is not installed\n")


def test_wheels_are_all_that_pyproject_asks_for() -> None:
    """Directly, and what those packages need in turn, as far as they are installed here."""
    known = {*cuda_packages.WHEELS, *cuda_packages.PRESENT}
    asked = {cuda_packages.name_of(each) for each in cuda_packages.requirements()}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {Requirement(each).name for each in declared} <= asked
    assert asked >= {"cuda-core", "pytest", "nanobind", "scikit-build-core"}
    assert asked <= known
    for name in cuda_packages.WHEELS:
        try:
            needs = distribution(name).requires or []
        except ModuleNotFoundError:
            continue
        for need in map(Requirement, needs):
            is_needed = need.marker is None or need.marker.evaluate({"extra": ""})
            assert not is_needed or canonicalize_name(need.name) in known, (name, need.name)


def wheel(path: Path, package: str, files: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        info = f"{package}-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        names = [*files, f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"]
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))


@pytest.mark.slow
def test_what_python_lacks_is_installed_from_the_wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory of the name that sandboxes show, beside which Python's own packages are seen."""
    pytest.importorskip("pip")
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    wheel(wheelhouse / "vecparity_carried-1.0-py3-none-any.whl", "vecparity_carried", {"vecparity_carried.py": "x = 1"})
    monkeypatch.setattr(cuda_packages, "WHEELHOUSE", wheelhouse)
    wanted = ["vecparity-carried", "pytest", "numpy"]
    monkeypatch.setattr(cuda_packages, "requirements", lambda: [*wanted, "cuda-nowhere", "ninja"])
    with pytest.raises(SystemExit, match=r"^neither installed nor in wheelhouse/: cuda-nowhere$"):
        cuda_packages.install(tmp_path / "environment")
    code = "import vecparity_carried, pytest, torch; print(vecparity_carried.__file__)"
    done = subprocess.run([tmp_path / "environment" / "bin" / "python", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent.name == "site-packages"
    assert next(cuda_stages.pythons(tmp_path / "environment")) == str(tmp_path / "environment" / "bin" / "python")
    assert next(cuda_stages.pythons(tmp_path / "nowhere")) == sys.executable


def test_the_extension_of_a_carried_wheel_is_taken_if_it_is_for_this_python(tmp_path: Path) -> None:
    package = tmp_path / "cpu"
    package.mkdir()
    other, ours = tmp_path / "other.whl", tmp_path / "ours.whl"
    suffix = cuda_packages.EXTENSION_SUFFIXES[0]
    wheel(other, "vecparity", {"vecparity/kernels/cpu/_native.cpython-27-nowhere.so": "other"})
    wheel(ours, "vecparity", {f"vecparity/kernels/cpu/_native{suffix}": "ours", "vecparity/eval.py": ""})
    assert not cuda_packages.extract(other, package)
    assert cuda_packages.extract(ours, package)
    assert [path.read_text() for path in package.iterdir()] == ["ours"]
    assert cuda_packages.extensions(package) == {package / f"_native{suffix}"}


@pytest.mark.parametrize("error", [float("nan"), 2e-6])
def test_a_gradient_that_is_wrong_is_told_and_time_is_measured_all_the_same(
    error: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "gradient", lambda run, rows, config: exact(run, rows, config) * (1 + error))
    monkeypatch.setattr(kernels, "GRADIENT_STRATEGIES", ("isolated_cube",))
    sizes = {"n_features": (32,), "runs": (1,), "num_steps": 1, "repeats": 1}
    with pytest.raises(SystemExit, match=r"^1 problems, the first: gradients 32 isolated_cube: .* more than 1e-06$"):
        kernels.times("vmap", device="cpu", output_dir=tmp_path, **sizes)  # type: ignore[arg-type]
    content = json.loads((tmp_path / "kernels_vmap.json").read_text())
    assert "problem" in content["gradients"][0]
    assert content["times"][0]["median_microseconds_per_step"] > 0


exact = kernels.gradient


@pytest.mark.parametrize("is_chaotic", [False, True])
def test_a_trace_that_is_not_followed_is_told_unless_it_is_the_chaotic_run(
    is_chaotic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = json.loads(kernels.TRACES.read_text())
    rows = traces["cases"]["isolated_cube_n32"]["trace"]["train"]
    (row,) = (row for row in rows if row[:3] == [0, 1, 2])
    row[3] += 1e-4
    (tmp_path / "traces.json").write_text(json.dumps(traces))
    monkeypatch.setattr(kernels, "TRACES", tmp_path / "traces.json")
    if is_chaotic:
        monkeypatch.setattr(kernels, "CHAOTIC", ("isolated_cube_n32", 0, 1))
    told = "run (0, 1) is 1.0e-04 from the original's losses, more than 1e-05"
    with nullcontext() if is_chaotic else pytest.raises(SystemExit, match=re.escape(told)):
        kernels.traces("vmap", device="cpu", trace=("isolated_cube_n32",), runs=2, max_steps=2, output_dir=tmp_path)
    (entry,) = json.loads((tmp_path / "traces_vmap.json").read_text())["traces"]
    assert [each["run"] for each in entry["differences"]] == [[0, 0], [0, 1]]
    assert entry["differences"][1]["difference"] == pytest.approx(1e-4, rel=1e-2)
    assert ("problem" in entry) != is_chaotic


MACHINE: dict[str, str | None] = {"gpu": "NVIDIA H0", "torch": "2.99"}


def write(directory: Path, name: str, machine: dict[str, str | None], **content: object) -> None:
    (directory / f"gpu_{name}.json").write_text(json.dumps({"machine": machine, **content}))


def test_the_readme_shows_a_gpus_figures_once_they_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = "<!-- gpu table -->\n<!-- end of gpu table -->"
    assert gpu_table.tables(tmp_path) == []
    times = [
        {"n_features": 64, "num_runs": 100, "median_microseconds_per_step": 12.34},
        {"n_features": 64, "num_runs": 1000, "problem": "out of memory"},
    ]
    write(tmp_path, "kernels_cuda", MACHINE | {"gpu": None}, times=times)
    assert gpu_table.tables(tmp_path) == []  # a rehearsal's
    write(tmp_path, "kernels_cuda", MACHINE, times=times)
    medians = {"oracle": 1_000.0, "cuda": 7_500_000.0}
    write(tmp_path, "throughput", MACHINE, measured=[{"n_features": 64, "num_runs": 100, "medians": medians}])
    made = {"num_runs": 100, "mean_steps": 1750.0}
    evaluation = {
        "strategy": "isolated_cube",
        "engine": "cuda",
        "configurations": [made, made],
        "seconds": 5.0,
        "seconds_to_first_window": 3.5,
        "training_seconds": [0.25, 0.5],
    }
    write(tmp_path, "isolated_cube", MACHINE, measured=[evaluation])
    medians = {"cuda": 7_500_000.0, "JAX": 500_000.0}
    write(tmp_path, "jax", MACHINE, measured=[{"n_features": 64, "num_runs": 100, "medians": medians}])
    text = "\n".join(gpu_table.tables(tmp_path))
    for line in (
        "| 64 | 100 | 12.3 |",
        "| 64 | 1000 | failed |",
        "Microseconds a step of all runs, medians, on NVIDIA H0, PyTorch 2.99.",
        "| 64 | 100 | oracle | cuda 7,500.0x |",
        "| 64 | 100 | JAX | cuda 15.0x |",
        "| isolated_cube | cuda | 200 | 1,750 | 0.8 s | 1.5 s | 5.0 s |",
    ):
        assert line in text.splitlines()
    names = ("end_to_end_full", "throughput", "audit_power", "audit_cost", "million_runs", "search", "sweep", "workers")
    for name in names:
        shutil.copy(tables.RESULTS / f"{name}.json", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    shown = tables.render(tables.PAGES[1].read_text())
    assert text in shown
    assert empty not in shown
    (sentence,) = tables.gpu_sentence()
    assert sentence == (
        "On one NVIDIA H0, 100 runs at N=64 take 12 µs a step: 7,500 times as fast as one after another on the same "
        "GPU, 15 times as fast as JAX. The whole command takes 5.0 s, 1.5 s of it after the first window."
    )
