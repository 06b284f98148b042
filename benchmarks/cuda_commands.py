"""The commands of `scripts/bench_cuda` besides the benchmarks: versions, compilation, NVIDIA's tools, tests, JAX.

python -m benchmarks.cuda_commands versions

A command that lacks something on this machine says so in its last line and ends with status 77.
"""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, NoReturn

import torch
from cyclopts import App

from benchmarks import machine, throughput
from benchmarks.contenders import jax_scan
from benchmarks.kernels import CudaEngineName, DeviceName, Several
from benchmarks.stages import SKIPPED
from vecparity.errors import VecparityError
from vecparity.kernels.cpu import native
from vecparity.kernels.cuda.plan import Plan, plans
from vecparity.task.config import task_config
from vecparity.training.engines.cuda import why_not_room

PACKAGES = ("torch", "triton", "numpy", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "jax", "jaxlib")
PROGRAMS = {"nvidia-smi": (), "nvcc": ("--version",), "ncu": ("--version",), "compute-sanitizer": ("--version",)}
PROPERTIES = (
    *("name", "major", "minor", "multi_processor_count", "total_memory", "L2_cache_size"),
    *("shared_memory_per_block_optin", "shared_memory_per_multiprocessor", "clock_rate"),
)
KERNELS = {"cuda": "train_window", "triton": "train_window", "vmap": "."}
# ncu's messages on a machine that denies access to the counters.
NO_COUNTERS = re.compile(r"ERR_NVGPUCTRPERM|Failed to initialize the profiler.*|Profiling is not supported.*")
NO_SANITIZER = re.compile(r"^=+ .*\b(Device not supported|Unable to find injection library)", re.MULTILINE)
TESTS = Path(__file__).parent.parent / "tests"
SECTIONS = (
    *("SpeedOfLight", "LaunchStats", "Occupancy", "SchedulerStats", "WarpStateStats", "InstructionStats"),
    *("ComputeWorkloadAnalysis", "MemoryWorkloadAnalysis"),
)

app = App(help=__doc__)


def skip(reason: str) -> NoReturn:
    print(reason)
    raise SystemExit(SKIPPED)


@app.command
def versions(*, device: DeviceName = "cuda", output: str = "versions", output_dir: Path = machine.OWN) -> None:
    """Writes a description of the machine: the GPU, versions of packages and programs, and the native extension.

    Args:
        device: The device to describe.
        output: Name of the JSON file.
        output_dir: Directory of the JSON file.
    """
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    programs = {}
    for name, options in PROGRAMS.items():
        path = shutil.which(name)
        done = path and subprocess.run([path, *options], capture_output=True, text=True, check=False)
        programs[name] = (done.stdout + done.stderr).strip() if done else None
        print(f"{name}: {programs[name]}")
    has_gpu = torch.cuda.is_available()
    properties = torch.cuda.get_device_properties(0) if has_gpu else None
    content: dict[str, Any] = {
        "machine": machine.describe(),
        "packages": found,
        "programs": programs,
        "gpu": {name: getattr(properties, name, None) for name in PROPERTIES} if properties else None,
        "native": native.PROBLEM or "built",
    }
    machine.save(output, content, output_dir)
    print(json.dumps(content["machine"] | found | {"gpu": content["gpu"]}, indent=1))
    if device == "cuda" and not has_gpu:
        raise SystemExit("no CUDA GPU that PyTorch can use")


def compiled(plan: Plan, architecture: str) -> dict[str, Any]:
    """Compiles one kernel into the user's cache unless it is already there."""
    from vecparity.kernels.cuda.program import kept_cubin

    began = time.perf_counter()
    try:
        size = len(kept_cubin(plan, architecture))
    except VecparityError as error:
        return asdict(plan) | {"architecture": architecture, "problem": str(error)}
    return asdict(plan) | {
        "architecture": architecture,
        "cubin_bytes": size,
        "seconds": round(time.perf_counter() - began, 2),
    }


@app.command(name="compile")
def compile_all(
    *,
    device: DeviceName = "cuda",
    n_features: Annotated[tuple[int, ...], Several] = (32, 50, 64),
    output: str = "compile",
    output_dir: Path = machine.OWN,
) -> None:
    """Compiles the cuda engine's kernels for all numbers of blocks in parallel, so that no other stage waits.

    Args:
        device: The device to compile for; without a GPU an H100, with one block for each run.
        n_features: Widths.
        output: Name of the JSON file.
        output_dir: Directory of the JSON file.
    """
    if not (find_spec("cuda") and find_spec("cuda.core")):
        skip("cuda-core is not installed")
    if device == "cuda":
        from vecparity.kernels.cuda.program import architecture_of, gpu

        found = gpu(torch.device("cuda"))
        architecture = architecture_of(torch.cuda.get_device_capability())
        shared_bytes, has_clusters = found.shared_bytes, found.has_clusters
    else:
        architecture, shared_bytes, has_clusters = "sm_90a", 227 * 1024, False
    wanted: list[Plan] = []
    for n in n_features:
        config = task_config(f"n{n}-k8")
        sizes = (n, config.hidden_width, config.batch_size)
        wanted += plans(*sizes, shared_bytes, has_clusters)
        wanted += plans(*sizes, shared_bytes, has_clusters, config.secret_size)  # isolated_cube uses no other features
    if not wanted:
        raise SystemExit(f"the cuda engine {why_not_room(*sizes)}")
    workers = min(len(wanted), machine.cores())
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        kernels = list(pool.map(compiled, wanted, [architecture] * len(wanted)))
    for kernel in kernels:
        print(json.dumps(kernel))
    machine.save(output, {"machine": machine.describe(), "kernels": kernels}, output_dir)
    if problems := [kernel["problem"] for kernel in kernels if "problem" in kernel]:
        raise SystemExit(f"{len(problems)} of {len(kernels)} kernels, the first: {problems[0]}")


def steps_command(engine: str, device: str, n_features: int, runs: int, num_steps: int) -> list[str]:
    sizes = ["--n-features", str(n_features), "--runs", str(runs), "--num-steps", str(num_steps)]
    return [sys.executable, "-m", "benchmarks.kernels", "steps", engine, "--device", device, *sizes]


def run_tool(command: list[str]) -> tuple[int, str]:
    """Runs a program, prints its output, and returns its exit status and its output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout, flush=True)
    return done.returncode, done.stdout


@app.command
def ncu(
    engine: CudaEngineName,
    *,
    device: DeviceName = "cuda",
    n_features: int = 64,
    runs: int = 100,
    num_steps: int = 25,
    output: str | None = None,
    output_dir: Path = machine.OWN,
) -> None:
    """Profiles the second launch of an engine's kernel.

    Args:
        engine: The engine to profile.
        device: The device that trains.
        n_features: Width.
        runs: Number of runs.
        num_steps: Steps of the window.
        output: Name of the JSON file; by default ncu_<engine>.
        output_dir: Directory of the JSON file.
    """
    program = shutil.which("ncu") or skip("ncu is not installed")
    report = output_dir / "logs" / f"{output or f'ncu_{engine}'}.ncu-rep"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    # Leave the GPU's clocks unchanged: this program must not set them.
    options = ["--clock-control", "none", "--kernel-name", f"regex:{KERNELS[engine]}", "--launch-skip", "1"]
    options += ["--launch-count", "1", *(word for section in SECTIONS for word in ("--section", section))]
    command = [program, *options, "--force-overwrite", "--export", str(report)]
    status, said = run_tool([*command, *steps_command(engine, device, n_features, runs, num_steps)])
    metrics = {}
    if report.exists():
        import_command = [program, "--import", str(report), "--csv", "--page", "raw"]
        metrics = metrics_of(subprocess.run(import_command, capture_output=True, text=True, check=False).stdout)
    if not metrics:
        if found := NO_COUNTERS.search(said):
            skip(f"ncu cannot read counters here: {found.group()}")
        raise SystemExit(f"ncu profiled no launch of {KERNELS[engine]} and ended with status {status}")
    sizes = {"n_features": n_features, "num_runs": runs, "num_steps": num_steps}
    content = {"machine": machine.describe(), "engine": engine, **sizes, "metrics": metrics}
    print(f"written to {machine.save(output or f'ncu_{engine}', content, output_dir)}")


def metrics_of(raw: str) -> dict[str, dict[str, str]]:
    """Reads the first launch's values and units from ncu's raw page: rows of names, of units, then of each launch."""
    lines = raw.splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith('"ID"')), len(lines))
    rows = list(csv.reader(io.StringIO("\n".join(lines[start:]))))
    if len(rows) < 3:
        return {}
    return {name: {"value": value, "unit": unit} for name, unit, value in zip(*rows[:3], strict=True)}


@app.command
def sanitizer(
    engine: CudaEngineName,
    *,
    device: DeviceName = "cuda",
    n_features: int = 64,
    runs: int = 3,
    num_steps: int = 3,
    output: str | None = None,
    output_dir: Path = machine.OWN,
) -> None:
    """Checks a few steps for invalid accesses, then for races in shared memory.

    Args:
        engine: The engine to check.
        device: The device that trains.
        n_features: Width.
        runs: Number of runs.
        num_steps: Steps of a window.
        output: Name of the JSON file; by default sanitizer_<engine>.
        output_dir: Directory of the JSON file.
    """
    program = shutil.which("compute-sanitizer") or skip("compute-sanitizer is not installed")
    tools: list[dict[str, Any]] = []
    content = {"machine": machine.describe(), "engine": engine, "tools": tools}
    for tool in ("memcheck", "racecheck"):
        # NVIDIA's own bindings ask the driver for functions that it may lack, which is an error that they expect.
        command = [program, "--tool", tool, "--error-exitcode", "9", "--report-api-errors", "no"]
        status, said = run_tool([*command, *steps_command(engine, device, n_features, runs, num_steps)])
        if found := NO_SANITIZER.search(said):
            skip(f"compute-sanitizer does not work here: {found.group(1)}")
        summaries = re.findall(r"^=+ ((?:ERROR|RACECHECK) SUMMARY: .*)$", said, re.MULTILINE)
        tools.append({"tool": tool, "exit_status": status, "summary": summaries})
        machine.save(output or f"sanitizer_{engine}", content, output_dir)
    if found_by := [tool for tool in tools if tool["exit_status"]]:
        words = "; ".join(f"{tool['tool']}: {(tool['summary'] or ['no summary'])[-1]}" for tool in found_by)
        raise SystemExit(f"compute-sanitizer, {words}")


@app.command(name="tests")
def run_gpu_tests(*, output: str = "tests", output_dir: Path = machine.OWN) -> None:
    """Runs the tests that need a GPU, except the slow ones.

    Args:
        output: Name of the JSON file.
        output_dir: Directory of the JSON file.
    """
    files = [str(path) for path in sorted(TESTS.rglob("test_*.py")) if "mark.gpu" in path.read_text()]
    (output_dir / "logs").mkdir(parents=True, exist_ok=True)
    report = output_dir / "logs" / f"{output}.xml"
    # Deprecations in other packages are no errors here: this machine may have any versions.
    lenient = ["-W", "default::DeprecationWarning", "-W", "default::FutureWarning"]
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu and not slow", *lenient, f"--junitxml={report}"]
    status = subprocess.run([*command, *files], cwd=TESTS.parent, check=False).returncode
    if not report.exists():
        raise SystemExit(f"pytest ended with status {status}")
    cases: list[dict[str, Any]] = [
        {
            "name": f"{case.get('classname')}::{case.get('name')}",
            "seconds": float(case.get("time", 0)),
            "outcome": next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed"),
            "message": next((child.get("message", "")[:500] for child in case if child.get("message")), None),
        }
        for case in xml.etree.ElementTree.parse(report).iter("testcase")
    ]
    machine.save(output, {"machine": machine.describe(), "exit_status": status, "tests": cases}, output_dir)
    failed = [case["name"] for case in cases if case["outcome"] in ("failure", "error")]
    if status:
        raise SystemExit(f"{len(failed)} of {len(cases)} tests failed{': ' * bool(failed)}{', '.join(failed)[:300]}")


@app.command
def jax(
    *,
    device: DeviceName = "cuda",
    contender: Annotated[tuple[str, ...], Several] = ("cuda", "JAX"),
    n_features: int = 64,
    runs: int = 100,
    repeats: int = 3,
    output: str = "throughput_jax",
    output_dir: Path = machine.OWN,
) -> None:
    """Measures throughput against JAX.

    Args:
        device: The device that trains.
        contender: The contender to measure beside the oracle.
        n_features: Width.
        runs: Number of runs.
        repeats: Measurements of each.
        output: Name of the JSON file.
        output_dir: Directory of the JSON file.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if reason := jax_scan.why_not(torch.device(device)):
        skip(f"JAX is left out: {reason}")
    throughput.main(
        device=device,
        n_features=(n_features,),
        runs=(runs,),
        rows=("uniform",),
        contender=contender,
        repeats=repeats,
        output=output,
        output_dir=output_dir,
    )


if __name__ == "__main__":
    app()
