"""Which engine trains, where: what was asked for, or the fastest that the machine can run."""

import warnings
from importlib.util import find_spec
from typing import get_args

import torch

from vecparity import native
from vecparity.engines import Engine
from vecparity.engines.native import NativeEngine
from vecparity.engines.native import why_not as why_not_native
from vecparity.errors import MachineError, UsageError
from vecparity.machine import cpu_name
from vecparity.names import DeviceName, EngineName
from vecparity.spec import TaskConfig

# The compute capability from which tensor cores multiply bfloat16, and warps find a maximum in one instruction.
_AMPERE = (8, 0)


def choose_device(name: DeviceName) -> torch.device:
    """Returns the device; ``auto`` is CUDA if there is one.

    Raises:
        UsageError: No such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda needs a CUDA GPU that PyTorch can use, got none (try --device cpu)")
    if name not in get_args(DeviceName):
        raise UsageError(f"device must be one of {', '.join(get_args(DeviceName))}, got {name!r}")
    return torch.device(name)


def choose_engine(name: EngineName, device: torch.device, dtype: torch.dtype, config: TaskConfig) -> EngineName:
    """Returns the engine's name; ``auto`` is the fastest that can train such an ensemble there.

    Raises:
        UsageError: No such engine, or it cannot.
    """
    if name not in get_args(EngineName):
        raise UsageError(f"engine must be one of {', '.join(get_args(EngineName))}, got {name!r}")
    if name != "auto":
        if problem := why_not(name, device, dtype, config):
            raise UsageError(f"the {name} engine {problem}")
        return name
    if device.type == "cuda":
        return "vmap" if why_not("triton", device, dtype, config) else "triton"
    if why_not_native(device, dtype):
        return "vmap"
    if not why_not("native", device, dtype, config):
        return "native"
    warnings.warn(f"the native engine {native.PROBLEM}; the slower vmap engine is used", stacklevel=2)
    return "vmap"


def why_not(name: EngineName, device: torch.device, dtype: torch.dtype, config: TaskConfig) -> str | None:
    """Why an engine cannot train such an ensemble there, in words that may follow its name, or None."""
    if name == "native":
        return why_not_native(device, dtype) or (None if native.is_available() else native.PROBLEM)
    if name == "cuda":
        return _why_not_cuda(device, dtype, config)
    if name == "triton":
        return _why_not_triton(device, dtype, config)
    return None


def _why_not_cuda(device: torch.device, dtype: torch.dtype, config: TaskConfig) -> str | None:
    if device.type != "cuda":
        return f"trains on CUDA, got {device}"
    if not (find_spec("cuda") and find_spec("cuda.core")):
        return "needs NVIDIA's cuda-core: pip install 'vecparity[cuda]'"
    from vecparity.engines.cuda import why_not, why_not_on

    sizes = (config.n_features, config.hidden_width, config.batch_size)
    if problem := why_not(*sizes, dtype):
        return problem
    if not torch.cuda.is_available():
        return None
    if (capability := torch.cuda.get_device_capability(device)) < _AMPERE:
        return f"needs a GPU of compute capability 8.0 or newer, for its instructions, got {capability}"
    try:
        return why_not_on(device, *sizes)
    except MachineError as error:
        return f"cannot be used: {error}"


def _why_not_triton(device: torch.device, dtype: torch.dtype, config: TaskConfig) -> str | None:
    if device.type != "cuda":
        return f"trains on CUDA, got {device}"
    if not find_spec("triton"):
        return "needs Triton: pip install triton"
    if torch.cuda.is_available() and (capability := torch.cuda.get_device_capability(device)) < _AMPERE:
        return f"needs a GPU of compute capability 8.0 or newer, for its bfloat16 products, got {capability}"
    from vecparity.engines.triton import why_not

    return why_not(config.n_features, config.hidden_width, config.batch_size, dtype)


def make_engine(name: EngineName, chunk_runs: int | None) -> Engine:
    """Makes an engine, by the name that `choose_engine` returned."""
    # The others are imported where they are used: torch.func takes longer to load than a small evaluation to train.
    if name == "native":
        return NativeEngine()
    if name == "cuda":
        from vecparity.engines.cuda import CudaEngine

        return CudaEngine()
    if name == "triton":
        from vecparity.engines.triton import TritonEngine

        return TritonEngine()
    from vecparity.engines.vmap import VmapEngine

    return VmapEngine(chunk_runs)


def device_name(device: torch.device) -> str:
    """The GPU's model, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
