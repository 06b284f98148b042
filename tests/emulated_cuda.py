"""The CUDA kernel on a CPU: its own source, compiled with the emulator (`emulator/`) for each set of sizes."""

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from equivalence import oracle_gradients, start, state_bits, windows

from vecparity.kernels.cuda.plan import Plan
from vecparity.task.config import TaskConfig
from vecparity.training.engines.cuda import CudaEngine
from vecparity.training.engines.interface import Engine, WindowMetrics
from vecparity.training.ensemble import Ensemble
from vecparity.training.runs import Run

KERNEL = Path(__file__).parents[1] / "vecparity" / "kernels" / "cuda"
_EMULATOR = Path(__file__).parent / "emulator"
_COMPILER = shutil.which("g++")
_FLAGS = ["-O2", "-std=c++20", "-march=native", "-ffp-contract=off", "-Wno-psabi"]


@functools.cache
def why_not() -> str | None:
    """Returns the reason why the kernel cannot be emulated here, or None."""
    if platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        return "fibers are switched by x86-64 Linux's own instructions"
    if _COMPILER is None:
        return "needs g++"
    program = "#include <bit>\nint x = std::bit_cast<int>(1.0f); _Float16 y;"
    command = [_COMPILER, *_FLAGS, "-x", "c++", "-fsyntax-only", "-"]
    tried = subprocess.run(command, input=program, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else "needs a g++ that knows C++20 and _Float16"


class HangError(Exception):
    """An emulated kernel does not end."""


@dataclass
class EmulatedGpu:
    """A GPU that gives every run ``cluster_blocks`` blocks, however many runs there are.

    Attributes:
        cluster_blocks: Blocks that a run gets.
        num_clusters: That run at the same time.
        seed: Of the order in which threads go on; 0 is in turns.
        truncates_sums: Whether sums of products lose what their last bit has no room for, or are rounded.
        source: The kernel's directory.
        features: The width of a row, if not the least that has room.
    """

    cluster_blocks: int = 1
    num_clusters: int = 1
    seed: int = 0
    truncates_sums: bool = False
    source: Path = KERNEL
    features: int | None = None
    shared_bytes: int = 227 * 1024
    has_clusters: bool = True
    multiprocessors: int = 1

    def program(self, plan: Plan) -> "EmulatedGpu":
        self.plan = replace(plan, cluster_blocks=self.cluster_blocks, features=self.features or plan.features)
        assert self.plan.fits(self.shared_bytes)
        return self

    def launch(self, num_clusters: int, arguments: Sequence[torch.Tensor | int]) -> None:
        words = [one.data_ptr() if isinstance(one, torch.Tensor) else one for one in arguments]
        assert all(one.is_contiguous() for one in arguments if isinstance(one, torch.Tensor))
        launch = library(self.plan, self.source).launch
        options = (num_clusters, ctypes.c_uint(self.seed), int(self.truncates_sums))
        if not launch((ctypes.c_uint64 * len(words))(*words), *options):
            raise HangError("threads wait for each other for ever")


def engine(cluster_blocks: int = 1, **options: object) -> CudaEngine:
    return CudaEngine(EmulatedGpu(cluster_blocks, **options))  # type: ignore[arg-type]


def _compile(*arguments: str) -> None:
    assert _COMPILER is not None
    command = [_COMPILER, *_FLAGS, "-fPIC", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr


@functools.cache
def _directory() -> Path:
    """Returns the directory of what is compiled, which other processes use, too; a temporary one if it cannot be."""
    directory = _EMULATOR.parents[1] / "build" / "emulator"
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
    if os.access(directory, os.W_OK):
        return directory
    directory = Path(tempfile.mkdtemp(prefix="vecparity-emulator-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _digest(*what: str | Path) -> str:
    """Returns a name for what is compiled of these texts and the files in these directories, here."""
    digest = hashlib.sha256()
    for each in (_this_machine(), *_FLAGS, *what):
        texts = [each.encode()] if isinstance(each, str) else [path.read_bytes() for path in sorted(each.glob("*.*"))]
        for text in texts:
            digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()[:32]


@functools.cache
def _this_machine() -> str:
    """Returns what the compiler makes of this machine, and its version."""
    assert _COMPILER is not None
    asked = (["--version"], ["-Q", "--help=target"])
    return "".join(
        subprocess.run([_COMPILER, *_FLAGS, *options], capture_output=True, text=True, check=True).stdout
        for options in asked
    )


def _made(path: Path, *arguments: str) -> Path:
    """Compiles a file, unless there is one: whole, whoever else compiles it at the same time."""
    if not path.exists():
        temporary = path.with_name(f"{os.getpid()}-{path.name}")
        _compile(*arguments, "-o", str(temporary))
        temporary.replace(path)
    return path


@functools.cache
def _same_for_all_plans() -> tuple[str, ...]:
    """Compiles the emulator's own files, which know of no sizes; returns the compiler's arguments for them."""
    name = _digest(_EMULATOR)
    header = _made(_directory() / f"{name}.h.gch", "-w", "-x", "c++-header", str(_EMULATOR / "device.h"))
    fibers = _made(_directory() / f"{name}.o", "-c", str(_EMULATOR / "fibers.cpp"))
    return "-include", str(header.with_suffix("")), str(fibers)


@functools.cache
def library(plan: Plan, source: Path = KERNEL) -> ctypes.CDLL:
    """Compiles the kernel for a plan."""
    macros = [f"-D{name}={value}" for name, value in plan.macros.items()]
    path = _directory() / f"{_digest(_EMULATOR, source, *macros)}.so"
    if not path.exists():
        program = str(_EMULATOR / "emulator.cpp")
        _made(path, "-shared", *macros, f"-I{_EMULATOR}", f"-I{source}", *_same_for_all_plans(), program)
    return ctypes.CDLL(str(path))


def trained(
    runs: Sequence[Run], lengths: list[int], config: TaskConfig, by: Engine
) -> tuple[Ensemble, list[WindowMetrics]]:
    """Trains runs through windows of these lengths."""
    ensemble = start(runs, config=config)
    return ensemble, [by.advance(ensemble, window) for window in windows(runs, lengths, config)]


def bits(ensemble: Ensemble) -> torch.Tensor:
    return torch.stack([state_bits(ensemble, run) for run in range(ensemble.num_runs)])


def assert_same(ours: tuple[Ensemble, list[WindowMetrics]], theirs: tuple[Ensemble, list[WindowMetrics]]) -> None:
    """Compares states and sums of losses and accuracies, bit for bit."""
    assert torch.equal(bits(ours[0]), bits(theirs[0]))
    for name in ("loss", "accuracy", "num_batches"):
        sums = [sum(getattr(metrics, name) for metrics in windows) for _, windows in (ours, theirs)]
        assert torch.equal(*sums), name


def first_step(run: Run, config: TaskConfig, by: CudaEngine) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Its gradient's errors by float64's, what that adds up of each example [example, param], and the loss's error."""
    ensemble = start([run], config=config)
    (window,) = windows([run], [1], config)
    metrics = by.advance(ensemble, window)
    rows = window.indices[0, 0].long()[: int(window.lengths[0, 0])]
    gradients, loss, _ = oracle_gradients(run, rows, config.hidden_width)
    return ensemble.exp_avg[0].double() - gradients.sum(dim=0), gradients, abs(float(metrics.loss) - loss) / loss


def gradient_error(run: Run, config: TaskConfig, by: CudaEngine) -> float:
    """Of the first step, relative to float64's; or the loss's, if that is larger."""
    errors, gradients, loss_error = first_step(run, config, by)
    return max(loss_error, float(errors.norm() / gradients.sum(dim=0).norm()))


def mutated(directory: Path, file: str, text: str, by: str, occurrence: int = 0) -> Path:
    """A copy of the kernel with one place of its source changed."""
    source = directory / "cuda"
    shutil.copytree(KERNEL, source)
    parts = (source / file).read_text().split(text)
    assert len(parts) > occurrence + 1, f"{text} is not in {file} so often"
    before, after = text.join(parts[: occurrence + 1]), text.join(parts[occurrence + 1 :])
    (source / file).write_text(before + by + after)
    return source
