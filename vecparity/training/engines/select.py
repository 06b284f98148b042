"""The choice of engine and devices: as requested, or the fastest that the machine can run."""

import warnings
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import get_args

import torch

from vecparity.errors import MachineError, UsageError
from vecparity.kernels.cpu import native
from vecparity.machine import cpu_name
from vecparity.task.config import TaskConfig
from vecparity.training.engines.interface import Engine
from vecparity.training.engines.names import DEVICES, DeviceName, EngineName, is_device
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.native import why_not as why_not_native

# The first compute capability with bfloat16 tensor cores and a maximum over a warp in one instruction.
_AMPERE = (8, 0)
# The first compute capability with clusters of blocks, without which the cuda engine is not the fastest.
_HOPPER = (9, 0)
# The fastest first. The last resort is vmap, which trains everything.
_FASTEST: dict[str, tuple[EngineName, ...]] = {"cuda": ("cuda", "triton"), "cpu": ("native",)}


def choose_devices(name: DeviceName) -> list[torch.device]:
    """Returns the devices to train on: all GPUs for ``cuda:all``, else one; ``auto`` is CUDA if available.

    Raises:
        UsageError: The device does not exist.
    """
    if not is_device(name):
        raise UsageError(f"device must be one of {DEVICES}, got {name!r}")
    if name == "auto":
        return [torch.device("cuda" if torch.cuda.is_available() else "cpu")]
    kind, _, which = name.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if kind == "cuda" and count == 0:
        raise UsageError(f"device {name} needs a CUDA GPU that PyTorch can use, got none (try --device cpu)")
    if which == "all":
        return [torch.device("cuda", index) for index in range(count)]
    if which and int(which) >= count:
        there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise UsageError(f"device {name}: expected one of the {count} GPUs that PyTorch can use, {there}")
    return [torch.device(kind, int(which)) if which else torch.device(kind)]


def devices_of(engine: EngineName, name: DeviceName) -> list[torch.device]:
    """Returns the devices for an engine, as `choose_devices` does: with ``auto``, native has the CPU.

    Raises:
        UsageError: The device does not exist.
    """
    return choose_devices("cpu" if engine == "native" and name == "auto" else name)


def choose_engine(
    name: EngineName, devices: Sequence[torch.device], dtype: torch.dtype, config: TaskConfig
) -> EngineName:
    """Returns the engine's name; ``auto`` selects the fastest that can train such ensembles on all devices.

    Raises:
        UsageError: The engine does not exist, or cannot train such ensembles.
    """
    if name not in get_args(EngineName):
        raise UsageError(f"engine must be one of {', '.join(get_args(EngineName))}, got {name!r}")
    if name != "auto":
        if problem := _why_not_all(name, devices, dtype, config):
            raise UsageError(f"the {name} engine {problem}")
        return name
    engine, _ = _choose(devices, dtype, config)
    if engine == "vmap" and why_not_native(devices[0], dtype) is None:
        warnings.warn(f"the native engine {native.PROBLEM}; the slower vmap engine is used", stacklevel=2)
    return engine


def explain_auto(devices: Sequence[torch.device], dtype: torch.dtype, config: TaskConfig) -> str:
    """Explains the choice of ``--engine auto`` on these devices."""
    engine, passed_over = _choose(devices, dtype, config)
    if devices[0].type != "cuda":
        passed_over = ["there is no GPU that PyTorch can use", *passed_over]
    return f"{engine}: {'; '.join(passed_over) or 'the fastest on this GPU'}"


def _choose(devices: Sequence[torch.device], dtype: torch.dtype, config: TaskConfig) -> tuple[EngineName, list[str]]:
    """Returns the fastest usable engine, and the reason for passing over each faster one."""
    passed_over: list[str] = []
    for name in _FASTEST[devices[0].type]:
        problem = _why_not_all(name, devices, dtype, config)
        if problem is None and name == "cuda":
            capability = min(_capability(device) or _HOPPER for device in devices)
            if capability < _HOPPER:
                needed = "is faster only with clusters of blocks (compute capability 9.0 or newer)"
                problem = f"{needed}, got {_dotted(capability)}"
        if problem is None:
            return name, passed_over
        passed_over.append(f"{name} {problem}")
    return "vmap", passed_over


def _why_not_all(
    name: EngineName, devices: Sequence[torch.device], dtype: torch.dtype, config: TaskConfig
) -> str | None:
    """Returns `why_not` for the first device on which the engine cannot train; None if there is no such device."""
    return next(filter(None, (why_not(name, device, dtype, config) for device in devices)), None)


def why_not(name: EngineName, device: torch.device, dtype: torch.dtype, config: TaskConfig) -> str | None:
    """Says why an engine cannot train such an ensemble on a device, as words that follow its name; None if it can."""
    if name == "native":
        return why_not_native(device, dtype) or (None if native.is_available() else native.PROBLEM)
    if name == "cuda":
        return _why_not_cuda(device, dtype, config)
    if name == "triton":
        return _why_not_triton(device, dtype, config)
    return None


def _why_not_cuda(device: torch.device, dtype: torch.dtype, config: TaskConfig) -> str | None:
    is_installed = find_spec("cuda") and find_spec("cuda.core") and find_spec("cuda.bindings")
    if problem := _lacks(device, None if is_installed else "NVIDIA's cuda-core: pip install 'vecparity[cuda]'"):
        return problem
    from vecparity.training.engines.cuda import why_not, why_not_on

    sizes = (config.n_features, config.hidden_width, config.batch_size)
    if problem := why_not(*sizes, dtype):
        return problem
    if not torch.cuda.is_available():
        return None
    try:
        return why_not_on(device, *sizes)
    except MachineError as error:
        return f"cannot be used: {error}"


def _why_not_triton(device: torch.device, dtype: torch.dtype, config: TaskConfig) -> str | None:
    if problem := _lacks(device, None if find_spec("triton") else "Triton: pip install triton"):
        return problem
    from vecparity.training.engines.triton import why_not

    return why_not(config.n_features, config.hidden_width, config.batch_size, dtype)


def _lacks(device: torch.device, missing: str | None) -> str | None:
    """Lists everything that a GPU engine lacks on this machine at once; None if nothing is missing."""
    lacks: list[str] = []
    if device.type != "cuda":
        lacks.append(f"trains on CUDA (compute capability 8.0 or newer), got {device}")
    elif (capability := _capability(device)) and capability < _AMPERE:
        lacks.append(f"needs a GPU of compute capability 8.0 or newer, got {_dotted(capability)}")
    if missing:
        lacks.append(f"needs {missing}")
    return "; ".join(lacks) or None


def _capability(device: torch.device) -> tuple[int, int] | None:
    return torch.cuda.get_device_capability(device) if torch.cuda.is_available() else None


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def make_engine(name: EngineName, chunk_runs: int | None) -> Engine:
    """Makes an engine from a name that `choose_engine` returned."""
    # Other engines are imported on use: loading torch.func takes longer than training a small evaluation.
    if name == "native":
        return NativeEngine()
    if name == "cuda":
        from vecparity.training.engines.cuda import CudaEngine

        return CudaEngine()
    if name == "triton":
        from vecparity.training.engines.triton import TritonEngine

        return TritonEngine()
    from vecparity.training.engines.vmap import VmapEngine

    return VmapEngine(chunk_runs)


def device_name(devices: Sequence[torch.device]) -> str:
    """Returns the models of the GPUs, with counts if there are several, or the model of the processor."""
    if devices[0].type != "cuda":
        return cpu_name()
    models = Counter(map(torch.cuda.get_device_name, devices))
    return " and ".join(f"{count} x {model}" if count > 1 else model for model, count in models.items())
