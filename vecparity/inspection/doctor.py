"""A diagnosis of this machine: engines and their speed, containment, and missing libraries."""

import platform
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import get_args

import torch

from vecparity import _version, machine
from vecparity.errors import MachineError
from vecparity.history import store
from vecparity.inspection.speed import Speed, measure
from vecparity.kernels.cpu import native
from vecparity.sandbox import levels, system_calls
from vecparity.sandbox.levels import LEVELS, Level
from vecparity.task.config import TaskConfig
from vecparity.training import random_streams
from vecparity.training.engines.names import EngineName
from vecparity.training.engines.select import choose_devices, choose_engine, explain_auto, why_not
from vecparity.training.random_streams import Likeness

# The package that each extra installs.
_EXTRAS = {
    "report": "matplotlib",
    "pandas": "pandas",
    "tensorboard": "tensorboard",
    "cuda": "cuda-core",
    "search": "optuna",
    "cluster": "ray",
    "agent": "mcp",
    "inspect": "inspect-ai",
}


@dataclass(frozen=True)
class EngineDiagnosis:
    """One engine.

    Attributes:
        name: The engine.
        device: The device on which it would train.
        is_auto: True if ``--engine auto`` takes it.
        why_not: The reason why it cannot train the benchmark's networks, worded to follow its name, or None.
        levels: The instruction sets that the native kernel can use, best first.
        speed: Measured speed with N=32 and uniform random rows; None if it cannot train.
    """

    name: EngineName
    device: str
    is_auto: bool
    why_not: str | None
    levels: list[str]
    speed: Speed | None


@dataclass(frozen=True)
class ContainmentDiagnosis:
    """One level of containment: True if ``--containment auto`` takes it, and why it is unavailable, or None."""

    name: Level
    is_auto: bool
    why_not: str | None


@dataclass(frozen=True)
class ExtraDiagnosis:
    """One optional library: the installed version, or None, and the command that installs it."""

    name: str
    version: str | None
    install: str


@dataclass(frozen=True)
class StreamDiagnosis:
    """One random stream: its use, its method, and whether it matches the original's (`random_streams`)."""

    name: str
    how: str
    likeness: Likeness


@dataclass(frozen=True)
class Diagnosis:
    """The complete diagnosis.

    Attributes:
        versions: Versions of vecparity, torch and Python.
        system: The operating system.
        processor: The processor's model.
        capability: The vector instructions that torch uses.
        threads: CPU threads that torch uses.
        gpus: The models of the GPUs that torch can use.
        auto: The engine that ``--engine auto`` takes for the benchmark's networks, and why.
        engines: All engines.
        containment: All levels, the strongest first.
        why_no_filter: The reason why system calls cannot be refused to strategies, at any level, or None.
        streams: The random streams of an evaluation.
        extras: The optional libraries.
        history: The file in which evaluations are recorded.
    """

    versions: dict[str, str]
    system: str
    processor: str
    capability: str
    threads: int
    gpus: list[str]
    auto: str
    engines: list[EngineDiagnosis]
    containment: list[ContainmentDiagnosis]
    why_no_filter: str | None
    streams: list[StreamDiagnosis]
    extras: list[ExtraDiagnosis]
    history: str


def diagnose() -> Diagnosis:
    """Examines this machine; measures each engine that can train for about half a second."""
    stamp = machine.stamp()
    return Diagnosis(
        versions={"vecparity": _version.__version__, "torch": torch.__version__, "python": platform.python_version()},
        system=stamp["system"],
        processor=stamp["processor"],
        capability=stamp["capability"],
        threads=torch.get_num_threads(),
        gpus=[torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        auto=explain_auto(choose_devices("auto"), torch.float32, TaskConfig()),
        engines=_engines(),
        containment=[
            ContainmentDiagnosis(name, name == levels.choose("auto"), levels.why_not(name)) for name in LEVELS
        ],
        why_no_filter=system_calls.why_not(),
        streams=[
            StreamDiagnosis(stream.name, stream.how, likeness) for stream, likeness in random_streams.likenesses()
        ],
        extras=[
            ExtraDiagnosis(library, _installed(library), f"pip install 'vecparity[{extra}]'")
            for extra, library in _EXTRAS.items()
        ],
        history=str(store.default_path()),
    )


def _engines() -> list[EngineDiagnosis]:
    devices, config = choose_devices("auto"), TaskConfig()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the diagnosis reports these itself
        auto = choose_engine("auto", devices, torch.float32, config)
    return [_engine(name, auto, devices[0], config) for name in get_args(EngineName) if name != "auto"]


def _engine(name: EngineName, auto: EngineName, device: torch.device, config: TaskConfig) -> EngineDiagnosis:
    where = torch.device("cpu") if name == "native" else device
    problem = why_not(name, where, torch.float32, config)
    kernel_levels = native.levels() if name == "native" and native.is_available() else []
    speed = None
    if problem is None:
        try:
            speed = measure(name, where)
        except MachineError as error:  # such as a kernel that cannot be compiled
            problem = f"cannot be measured: {error}"
    return EngineDiagnosis(name, where.type, name == auto, problem, kernel_levels, speed)


def _installed(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
