"""The `cuda` engine around its kernel: sizes, compilation by NVRTC without a GPU, cached cubins, and refusals."""

import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from equivalence import CONFIG, make_run, start, windows

from vecparity.errors import MachineError, UsageError
from vecparity.kernels.cuda import program
from vecparity.kernels.cuda.plan import Plan, choose, plans, steps_in_piece, width_of_row
from vecparity.task.config import TaskConfig, task_config
from vecparity.training.engines import select
from vecparity.training.engines.cuda import CudaEngine
from vecparity.training.engines.select import make_engine, why_not

HOPPER_BYTES, CONSUMER_BYTES = 227 << 10, 99 << 10  # shared memory of a block
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def has_nvrtc() -> bool:
    try:
        return bool(program._nvrtc_version()) and find_spec("cuda.core") is not None
    except MachineError:
        return False


needs_nvrtc = pytest.mark.skipif(not has_nvrtc(), reason="needs cuda-core and NVRTC")


@dataclass(frozen=True)
class Case:
    """A compilation, and the most bytes a thread that it may spill for want of registers.

    Features that are trained are all, if not said.
    """

    n_features: int
    hidden_width: int
    cluster_blocks: int
    architecture: str
    most_spilled: int = 0
    shared_bytes: int = HOPPER_BYTES
    most_trained: int | None = None

    @property
    def plan(self) -> Plan:
        features = width_of_row(self.most_trained or self.n_features)
        return Plan(self.n_features, self.hidden_width, 128, self.cluster_blocks, features)


CASES = [
    Case(64, 512, 8, "sm_90a"),
    Case(64, 512, 2, "sm_90a", most_spilled=8),
    Case(64, 512, 4, "sm_90a"),
    Case(32, 512, 1, "sm_90a", most_spilled=16),
    Case(32, 512, 2, "sm_90a"),
    Case(50, 512, 4, "sm_90a"),
    Case(128, 1024, 8, "sm_90a"),
    Case(64, 512, 1, "sm_90a", most_trained=8),
    Case(64, 512, 2, "sm_90a", most_trained=8),
    Case(64, 512, 1, "sm_90a", most_spilled=16, most_trained=20),
    Case(64, 512, 2, "sm_100a", most_spilled=8),
    Case(64, 512, 4, "sm_120a", shared_bytes=CONSUMER_BYTES),
    Case(64, 512, 8, "sm_120a", shared_bytes=CONSUMER_BYTES),
    Case(64, 512, 1, "sm_120a", shared_bytes=CONSUMER_BYTES, most_trained=8),
    Case(32, 512, 1, "sm_80", most_spilled=16, shared_bytes=163 << 10),
]


@needs_nvrtc
@pytest.mark.parametrize(
    "case", [CASES[0], *(pytest.param(case, marks=pytest.mark.slow) for case in CASES[1:])], ids=str
)
def test_it_compiles_within_its_registers_and_shared_memory(case: Case) -> None:
    """Without a GPU. Shared memory is `Plan.shared_bytes`, which the source asserts."""
    plan = case.plan
    assert plan.fits(case.shared_bytes)
    compiled = program.compile_kernel(plan, case.architecture)
    assert compiled.cubin.startswith(b"\x7fELF")
    registers, spilled = (
        int(found.group(1))
        for found in (
            re.search(pattern, compiled.log) for pattern in (r"Used (\d+) registers", r"(\d+) bytes spill loads")
        )
        if found
    )
    assert registers <= 255 and registers * plan.threads <= 65536
    assert spilled <= case.most_spilled


@needs_nvrtc
def test_masks_come_from_sign_bits(tmp_path: Path) -> None:
    """8 in a selector's digit copies a byte's sign to all of its bits; CUDA's __byte_perm drops it without a word."""
    knobs = pytest.importorskip("triton").knobs  # brings NVIDIA's disassembler
    kernel = tmp_path / "kernel.cubin"
    kernel.write_bytes(program.compile_kernel(Plan(32, 512, 128, 8, 32), "sm_90a").cubin)
    command = [knobs.nvidia.cuobjdump.path, "--dump-sass", str(kernel)]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    selectors = re.findall(r"\bPRMT \w+(?:\.reuse)?, \w+(?:\.reuse)?, (0x[0-9a-f]+), RZ", code)
    assert "0xbb99" in selectors


@needs_nvrtc
def test_what_nvrtc_refuses_is_an_error_of_one_line() -> None:
    with pytest.raises(MachineError, match=r"^NVRTC cannot compile the kernel for sm_1: .+$") as caught:
        program.compile_kernel(Plan(32, 32, 32, 1, 32), "sm_1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("n_features", "hidden_width", "batch_size", "shared_bytes", "blocks"),
    [
        (32, 512, 128, HOPPER_BYTES, [1, 2, 4, 8]),
        (64, 512, 128, HOPPER_BYTES, [2, 4, 8]),
        (50, 512, 128, CONSUMER_BYTES, [4, 8]),
        (128, 1024, 128, HOPPER_BYTES, [8]),
        (128, 1024, 128, CONSUMER_BYTES, []),
        (20, 24, 32, HOPPER_BYTES, [1, 2]),
        (1, 1, 1, HOPPER_BYTES, [1]),
        (32, 64, 128, HOPPER_BYTES, [1]),  # a thread for every row of the batch
    ],
)
def test_plans(n_features: int, hidden_width: int, batch_size: int, shared_bytes: int, blocks: list[int]) -> None:
    found = plans(n_features, hidden_width, batch_size, shared_bytes, has_clusters=True)
    assert [plan.cluster_blocks for plan in found] == blocks
    for plan in found:
        assert plan.cluster_blocks * plan.warps * plan.tiles_per_warp * 16 == plan.units >= hidden_width
        assert plan.threads >= plan.rows >= batch_size and plan.features >= n_features
    alone = plans(n_features, hidden_width, batch_size, shared_bytes, has_clusters=False)
    assert alone == [plan for plan in found if plan.cluster_blocks == 1]


def test_runs_that_train_few_features_need_fewer_blocks() -> None:
    few = plans(64, 512, 128, CONSUMER_BYTES, has_clusters=True, most_trained=8)
    assert [(plan.features, plan.cluster_blocks) for plan in few] == [(16, 1), (16, 2), (16, 4), (16, 8)]
    assert [width_of_row(count) for count in (0, 16, 17, 33, 65, 128)] == [16, 16, 32, 64, 128, 128]


@pytest.mark.parametrize(("num_runs", "blocks"), [(1, 8), (15, 8), (17, 4), (33, 4), (34, 2), (100, 2), (1000, 2)])
def test_few_runs_get_more_blocks_each(num_runs: int, blocks: int) -> None:
    candidates = plans(64, 512, 128, HOPPER_BYTES, has_clusters=True)
    assert choose(candidates, num_runs, 132).cluster_blocks == blocks


def test_pieces_are_whole_windows_where_every_run_has_a_cluster() -> None:
    assert steps_in_piece(15, 250, 16) == 250
    assert steps_in_piece(100, 250, 66) == 50  # of 8 pieces a cluster; 100 of 25 would be 16
    assert steps_in_piece(100, 9, 66) == 9


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Architectures that were compiled for, in an empty cache."""
    compiled: list[str] = []

    def compile_kernel(plan: Plan, architecture: str) -> program.Compiled:
        compiled.append(architecture)
        return program.Compiled(f"{plan} {architecture}".encode(), "")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(program, "_nvrtc_version", lambda: "13")
    monkeypatch.setattr(program, "compile_kernel", compile_kernel)
    return compiled


def test_a_cubin_is_kept(compilations: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan, other = Plan(32, 512, 128, 1, 32), Plan(32, 512, 128, 2, 32)
    first = program.kept_cubin(plan, "sm_90a")
    assert program.kept_cubin(plan, "sm_90a") == first
    assert compilations == ["sm_90a"]
    assert len({program.kept_cubin(other, "sm_90a"), program.kept_cubin(plan, "sm_100a"), first}) == 3
    assert len(compilations) == 3
    monkeypatch.setattr(program, "_nvrtc_version", lambda: "14")
    program.kept_cubin(plan, "sm_90a")
    assert len(compilations) == 4
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data[:20], lambda data: b"", lambda data: data[:-1] + b"!"]
)
def test_a_damaged_cubin_is_compiled_anew(compilations: list[str], tmp_path: Path, damage: Any) -> None:
    plan = Plan(32, 512, 128, 1, 32)
    first = program.kept_cubin(plan, "sm_90a")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(damage(path.read_bytes()))
    assert program.kept_cubin(plan, "sm_90a") == first
    assert program.kept_cubin(plan, "sm_90a") == first
    assert len(compilations) == 2


def test_a_cache_that_cannot_be_written_is_done_without(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert program.kept_cubin(Plan(32, 512, 128, 1, 32), "sm_90a")
    assert len(compilations) == 2


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(MachineError, match=r"needs NVIDIA's cuda-core: pip install 'vecparity\[cuda\]'"):
        program.compile_kernel(Plan(32, 512, 128, 1, 32), "sm_90a")
    monkeypatch.setattr(select, "find_spec", lambda name: None)
    problem = why_not("cuda", CUDA, torch.float32, task_config("n64-k8"))
    assert problem == "needs NVIDIA's cuda-core: pip install 'vecparity[cuda]'"


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"n_features": 129}, "trains up to 128 features, got n_features=129"),
        ({"hidden_width": 1025}, "trains up to 1024 hidden units, got hidden_width=1025"),
        ({"batch_size": 129}, "trains batches of up to 128 rows, got batch_size=129"),
    ],
)
def test_what_it_has_no_room_for_is_refused(monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int], said: str) -> None:
    config = replace(CONFIG, **sizes)
    run = make_run(20, 1.0, False, 1, config)
    (window,) = windows([run], [1], config)
    with pytest.raises(UsageError, match=f"the cuda engine {said}"):
        CudaEngine().advance(start([run], config=config), window)
    monkeypatch.setattr(select, "find_spec", lambda name: True)
    assert why_not("cuda", CUDA, torch.float32, config) == said


class SmallGpu:
    """With little shared memory, or none left at all."""

    multiprocessors = 1
    has_clusters = True
    num_clusters = 1

    def __init__(self, shared_bytes: int) -> None:
        self.shared_bytes = shared_bytes

    def program(self, plan: Plan) -> "SmallGpu":
        return self

    def launch(self, num_clusters: int, arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nAnd so on")


def test_what_an_ensemble_cannot_be_trained_on() -> None:
    run = make_run(20, 1.0, False, 1, CONFIG)
    (window,) = windows([run], [1])
    with pytest.raises(UsageError, match="the cuda engine trains on CUDA, got cpu"):
        CudaEngine().advance(start([run]), window)
    with pytest.raises(UsageError, match=r"the cuda engine trains float32, got torch\.float64"):
        CudaEngine().advance(start([run], torch.float64), window)
    with pytest.raises(UsageError, match=r"has no room for a run of n_features=20, .* in this GPU's shared memory"):
        CudaEngine(SmallGpu(1 << 10)).advance(start([run]), window)
    with pytest.raises(MachineError, match=r"out of memory with 1 runs in training: CUDA out of memory\. .* MiB\.$"):
        CudaEngine(SmallGpu(HOPPER_BYTES)).advance(start([run]), window)


def test_it_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = why_not("cuda", CPU, torch.float32, TaskConfig())
    assert problem == "trains on CUDA (compute capability 8.0 or newer), got cpu"
    monkeypatch.setattr(select, "find_spec", lambda name: True)
    assert why_not("cuda", CUDA, torch.float64, TaskConfig()) == "trains float32, got torch.float64"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert "compute capability 8.0 or newer" in str(why_not("cuda", CUDA, torch.float32, TaskConfig()))
    assert isinstance(make_engine("cuda", None), CudaEngine)


class StandIn:
    """cuda-core, as far as it is used, with a GPU of 132 multiprocessors that runs 66 clusters."""

    LEGACY_DEFAULT_STREAM = "legacy"

    def __init__(self) -> None:
        self.launched: list[Any] = []
        self.num_clusters = 66
        self.kernel = SimpleNamespace(
            handle=7,
            occupancy=SimpleNamespace(
                max_active_clusters=lambda config, stream: self.num_clusters,
                max_active_blocks_per_multiprocessor=lambda threads, shared_bytes: 1,
            ),
        )
        properties = SimpleNamespace(multiprocessor_count=132, max_shared_memory_per_block_optin=HOPPER_BYTES)
        self.Device = lambda index: SimpleNamespace(properties=properties, set_current=lambda: None)
        self.ObjectCode = SimpleNamespace(from_cubin=lambda cubin: SimpleNamespace(get_kernel=lambda name: self.kernel))
        self.Stream = SimpleNamespace(from_handle=lambda handle: handle)
        self.LaunchConfig = lambda **options: options

    def launch(self, *arguments: Any) -> None:
        self.launched.append(arguments)


@pytest.fixture
def stand_in(compilations: list[str], monkeypatch: pytest.MonkeyPatch) -> StandIn:
    core = StandIn()
    monkeypatch.setattr(program, "_core", lambda: core)
    monkeypatch.setattr(program, "_allow_shared_bytes", lambda kernel, shared_bytes, device: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    return core


def test_what_is_launched(stand_in: StandIn, compilations: list[str]) -> None:
    gpu = program.Gpu(torch.device("cuda", 0))
    assert (gpu.multiprocessors, gpu.shared_bytes, gpu.has_clusters) == (132, HOPPER_BYTES, True)
    plan, single = Plan(64, 512, 128, 2, 64), Plan(32, 512, 128, 1, 32)
    assert gpu.program(plan) is gpu.program(plan)
    assert (gpu.program(plan).num_clusters, gpu.program(single).num_clusters) == (66, 132)
    assert compilations == ["sm_90a"] * 2
    tensor = torch.zeros(3)
    gpu.program(plan).launch(50, [tensor, 9])
    config = {"grid": 50, "cluster": 2, "block": 256, "shmem_size": plan.shared_bytes}
    assert stand_in.launched == [("legacy", config, stand_in.kernel, tensor.data_ptr(), 9)]


def test_what_a_gpu_refuses_is_an_error_of_one_line(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("CUDA_ERROR_UNKNOWN\nmore")

    gpu, plan = program.Gpu(torch.device("cuda", 0)), Plan(64, 512, 128, 2, 64)
    monkeypatch.setattr(stand_in, "launch", fail)
    with pytest.raises(MachineError, match=r"^the kernel cannot be launched: RuntimeError: CUDA_ERROR_UNKNOWN$"):
        gpu.program(plan).launch(1, [])
    monkeypatch.setattr(program, "_allow_shared_bytes", fail)
    with pytest.raises(MachineError, match=r"^the kernel for sm_90a cannot be loaded: .*UNKNOWN$"):
        gpu.program(Plan(64, 512, 128, 4, 64))


def test_a_gpu_that_cannot_be_asked_is_a_reason(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(index: int) -> None:
        raise RuntimeError("CUDA_ERROR_NO_DEVICE")

    monkeypatch.setattr(select, "find_spec", lambda name: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 99)
    assert why_not("cuda", CUDA, torch.float32, task_config("n64-k8")) is None
    monkeypatch.setattr(stand_in, "Device", fail)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 98)
    problem = why_not("cuda", CUDA, torch.float32, task_config("n64-k8"))
    assert problem == "cannot be used: cuda-core cannot use cuda:98: RuntimeError: CUDA_ERROR_NO_DEVICE"


def test_a_gpu_that_runs_no_cluster(stand_in: StandIn) -> None:
    stand_in.num_clusters = 0
    with pytest.raises(MachineError, match="this GPU cannot run a cluster of 2 blocks"):
        program.Gpu(torch.device("cuda", 0)).program(Plan(64, 512, 128, 2, 64))


@pytest.mark.parametrize(("capability", "name"), [((8, 0), "sm_80"), ((9, 0), "sm_90a"), ((12, 0), "sm_120a")])
def test_architectures(capability: tuple[int, int], name: str) -> None:
    assert program.architecture_of(capability) == name
