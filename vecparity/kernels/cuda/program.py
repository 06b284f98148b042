"""The kernel on a GPU: compiled by NVRTC, cached, loaded and launched through NVIDIA's ``cuda-core``.

A compiled kernel (cubin) is cached in the user's cache directory, named by the digest of everything that it was made
from. A file begins with the digest of the remaining bytes; a damaged file is compiled anew.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import platformdirs
import torch
from torch import Tensor

from vecparity.errors import MachineError, describe
from vecparity.files import write_whole
from vecparity.kernels.cuda.plan import Plan

NAME = "train_window"
INSTALL = "pip install 'vecparity[cuda]'"
_DIRECTORY = Path(__file__).parent
_CLUSTERS = (9, 0)  # the first compute capability with clusters of blocks
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Compiled:
    """A kernel compiled for one kind of GPU.

    Attributes:
        cubin: The machine code.
        log: The assembler's report: registers, spilled bytes.
    """

    cubin: bytes
    log: str


def compile_kernel(plan: Plan, architecture: str) -> Compiled:
    """Compiles the kernel; needs no GPU.

    Args:
        plan: The sizes.
        architecture: The architecture, such as ``sm_90a``.

    Raises:
        MachineError: ``cuda-core`` or NVRTC is missing, or NVRTC refuses the source or the architecture.
    """
    core = _core()
    _nvrtc_version()
    options = core.ProgramOptions(
        name=f"{NAME}.cu",
        arch=architecture,
        std="c++17",
        fma=False,  # round products before adding, except where the code says fmaf
        include_path=[str(_DIRECTORY)],
        define_macro=[(name, str(value)) for name, value in plan.macros.items()],
        ptxas_options=["-v"],
    )
    log = StringIO()
    try:
        program = core.Program((_DIRECTORY / f"{NAME}.cu").read_text(), "c++", options)
        cubin = program.compile("cubin", logs=log).code
    except Exception as error:  # the class depends on what is missing
        raise MachineError(f"NVRTC cannot compile the kernel for {architecture}: {describe(error)}") from error
    return Compiled(bytes(cubin), log.getvalue())


def kept_cubin(plan: Plan, architecture: str) -> bytes:
    """Returns the kernel's machine code from the user's cache, compiling it if it is not there.

    Raises:
        MachineError: See `compile_kernel`.
    """
    path = platformdirs.user_cache_path("vecparity", appauthor=False) / "cuda" / _digest(plan, architecture)
    try:
        cached = path.read_bytes()
    except OSError:
        cached = b""
    if cached[:_DIGEST_BYTES] == hashlib.sha256(cached[_DIGEST_BYTES:]).digest():
        return cached[_DIGEST_BYTES:]
    cubin = compile_kernel(plan, architecture).cubin
    with suppress(OSError):  # if writing fails, compile again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, hashlib.sha256(cubin).digest() + cubin)
    return cubin


def architecture_of(capability: tuple[int, int]) -> str:
    """Returns NVRTC's name for GPUs of a compute capability, including architecture-specific features."""
    major, minor = capability
    return f"sm_{major}{minor}" + ("a" if capability >= _CLUSTERS else "")


class LoadedProgram:
    """See `engines.cuda.Program`."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        core = _core()
        architecture = architecture_of(torch.cuda.get_device_capability(device))
        cubin = kept_cubin(plan, architecture)
        self._plan = plan
        self._device = device
        try:
            with torch.cuda.device(device):
                core.Device(device.index).set_current()  # the context that torch uses as well
                self._kernel = core.ObjectCode.from_cubin(cubin).get_kernel(NAME)
                _allow_shared_bytes(self._kernel, plan.shared_bytes, device)
                self.num_clusters = self._most_clusters()
        except Exception as error:
            raise MachineError(f"the kernel for {architecture} cannot be loaded: {describe(error)}") from error
        if self.num_clusters < 1:
            raise MachineError(f"this GPU cannot run a cluster of {plan.cluster_blocks} blocks (--engine triton can)")

    def launch(self, num_clusters: int, arguments: Sequence[Tensor | int]) -> None:
        """See `engines.cuda.Program.launch`."""
        words = [argument.data_ptr() if isinstance(argument, Tensor) else argument for argument in arguments]
        core = _core()
        try:
            with torch.cuda.device(self._device):
                core.launch(self._stream(), self._config(num_clusters), self._kernel, *words)
        except Exception as error:
            raise MachineError(f"the kernel cannot be launched: {describe(error)}") from error

    def _most_clusters(self) -> int:
        occupancy = self._kernel.occupancy
        if self._plan.cluster_blocks > 1:
            return int(occupancy.max_active_clusters(self._config(1), stream=self._stream()))
        blocks = occupancy.max_active_blocks_per_multiprocessor(self._plan.threads, self._plan.shared_bytes)
        return int(blocks) * int(_core().Device(self._device.index).properties.multiprocessor_count)

    def _config(self, num_clusters: int) -> Any:
        plan = self._plan
        # With clusters, cuda-core counts the grid in clusters.
        cluster = plan.cluster_blocks if plan.cluster_blocks > 1 else None
        return _core().LaunchConfig(
            grid=num_clusters, cluster=cluster, block=plan.threads, shmem_size=plan.shared_bytes
        )

    def _stream(self) -> Any:
        core = _core()
        handle = torch.cuda.current_stream(self._device).cuda_stream
        return core.Stream.from_handle(handle) if handle else core.LEGACY_DEFAULT_STREAM


class Gpu:
    """See `engines.cuda.Processor`."""

    def __init__(self, device: torch.device) -> None:
        core = _core()
        try:
            properties = core.Device(device.index).properties
            self.multiprocessors: int = properties.multiprocessor_count
            self.shared_bytes: int = properties.max_shared_memory_per_block_optin
        except Exception as error:  # for example from an old driver
            raise MachineError(f"cuda-core cannot use {device}: {describe(error)}") from error
        self.has_clusters = torch.cuda.get_device_capability(device) >= _CLUSTERS
        self._device = device
        self._programs: dict[Plan, LoadedProgram] = {}

    def program(self, plan: Plan) -> LoadedProgram:
        """See `engines.cuda.Processor.program`."""
        if plan not in self._programs:
            self._programs[plan] = LoadedProgram(plan, self._device)
        return self._programs[plan]


def gpu(device: torch.device) -> Gpu:
    """Returns a device's GPU, the same object each time, since it holds the loaded kernels."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return _gpu_of(index)


@cache
def _gpu_of(index: int) -> Gpu:
    return Gpu(torch.device("cuda", index))


def _core() -> Any:
    try:
        import cuda.core
    except ImportError as error:
        raise MachineError(f"the cuda engine needs NVIDIA's cuda-core: {INSTALL}") from error
    return cuda.core


def _allow_shared_bytes(kernel: Any, shared_bytes: int, device: torch.device) -> None:
    """Allows blocks more than 48 KB of shared memory, for which cuda-core has no function."""
    from cuda.bindings import driver

    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    (error,) = driver.cuKernelSetAttribute(attribute, shared_bytes, kernel.handle, device.index)
    if int(error):
        raise RuntimeError(f"{shared_bytes} bytes of shared memory a block: {error}")


def _digest(plan: Plan, architecture: str) -> str:
    sources = [path.read_bytes() for path in sorted(_DIRECTORY.glob("*.cu*"))]
    made_from = [*sources, repr(plan).encode(), architecture.encode(), _nvrtc_version().encode()]
    return hashlib.sha256(b"\0".join(made_from)).hexdigest()


def _nvrtc_version() -> str:
    try:
        from cuda.bindings import nvrtc

        return str(nvrtc.nvrtcVersion())
    except Exception as error:  # the class depends on what is missing
        raise MachineError(f"the cuda engine needs NVRTC: pip install nvidia-cuda-nvrtc ({describe(error)})") from error
