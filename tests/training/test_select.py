import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from vecparity.errors import UsageError
from vecparity.kernels.cpu import native
from vecparity.task.config import TaskConfig, task_config
from vecparity.training.engines import cuda, select
from vecparity.training.engines.names import EngineName
from vecparity.training.engines.select import choose_devices, choose_engine, device_name, explain_auto, why_not

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BENCHMARK = task_config("n64-k8")


LIBRARIES = {"cuda", "cuda.core", "cuda.bindings", "triton"}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the machine one with a GPU of a compute capability, with some libraries."""

    def gpu(capability: tuple[int, int], libraries: set[str] = LIBRARIES, shared_bytes: int = 227 << 10) -> None:
        found = SimpleNamespace(shared_bytes=shared_bytes, has_clusters=capability >= (9, 0))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(cuda, "_gpu", lambda device: found)
        monkeypatch.setattr(select, "find_spec", lambda name: name if name in libraries else None)

    return gpu


@pytest.mark.parametrize(
    ("dtype", "config", "expected"),
    [(torch.float32, BENCHMARK, "native"), (torch.float64, BENCHMARK, "vmap")],
)
def test_auto_on_a_cpu(dtype: torch.dtype, config: TaskConfig, expected: EngineName) -> None:
    assert choose_engine("auto", [CPU], dtype, config) == expected


@pytest.mark.parametrize(
    ("capability", "dtype", "config", "expected", "said"),
    [
        ((9, 0), torch.float32, BENCHMARK, "cuda", "the fastest on this GPU"),
        ((12, 0), torch.float32, BENCHMARK, "cuda", "the fastest on this GPU"),
        ((8, 6), torch.float32, TaskConfig(), "triton", "cuda is faster only with clusters .*9.0 or newer.*, got 8.6"),
        (
            (7, 5),
            torch.float32,
            BENCHMARK,
            "vmap",
            "cuda needs a GPU of compute capability 8.0 .* got 7.5; triton needs",
        ),
        ((9, 0), torch.float64, BENCHMARK, "vmap", "cuda trains float32, got torch.float64; triton trains float32"),
        ((9, 0), torch.float32, TaskConfig(n_features=200), "triton", "cuda trains up to 128 features, got"),
        ((9, 0), torch.float32, TaskConfig(n_features=257), "vmap", "cuda .*; triton trains up to 256 features"),
        ((9, 0), torch.float32, TaskConfig(batch_size=512), "vmap", "cuda .*; triton trains batches"),
    ],
)
def test_auto_on_a_gpu(
    gpu: Callable[..., None],
    capability: tuple[int, int],
    dtype: torch.dtype,
    config: TaskConfig,
    expected: EngineName,
    said: str,
) -> None:
    gpu(capability)
    assert choose_engine("auto", [CUDA], dtype, config) == expected
    assert re.match(f"{expected}: {said}", explain_auto([CUDA], dtype, config))


def test_auto_where_the_kernel_has_no_room(gpu: Callable[..., None]) -> None:
    gpu((9, 0), shared_bytes=16 << 10)
    assert choose_engine("auto", [CUDA], torch.float32, BENCHMARK) == "triton"
    assert "triton: cuda has no room for a run" in explain_auto([CUDA], torch.float32, BENCHMARK)


@pytest.mark.parametrize("missing", ["cuda", "cuda.core", "cuda.bindings"])
def test_auto_without_cuda_core(gpu: Callable[..., None], missing: str) -> None:
    gpu((9, 0), LIBRARIES - {missing})
    assert choose_engine("auto", [CUDA], torch.float32, BENCHMARK) == "triton"
    with pytest.raises(UsageError, match=r"the cuda engine needs NVIDIA's cuda-core: pip install 'vecparity\[cuda\]'"):
        choose_engine("cuda", [CUDA], torch.float32, BENCHMARK)


def test_auto_without_any_library(gpu: Callable[..., None]) -> None:
    gpu((9, 0), set())
    assert choose_engine("auto", [CUDA], torch.float32, BENCHMARK) == "vmap"
    with pytest.raises(UsageError, match="the triton engine needs Triton: pip install triton"):
        choose_engine("triton", [CUDA], torch.float32, BENCHMARK)


def test_cuda_is_had_without_clusters_by_asking_for_it(gpu: Callable[..., None]) -> None:
    gpu((8, 0))
    assert choose_engine("cuda", [CUDA], torch.float32, TaskConfig(n_features=32)) == "cuda"


def test_all_that_an_engine_lacks_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "find_spec", lambda name: None)
    said = r"trains on CUDA \(compute capability 8.0 or newer\), got cpu; needs {}: pip install {}"
    problems = [why_not(name, CPU, torch.float32, BENCHMARK) for name in ("cuda", "triton")]
    assert re.fullmatch(said.format("NVIDIA's cuda-core", r"'vecparity\[cuda\]'"), problems[0] or "")
    assert re.fullmatch(said.format("Triton", "triton"), problems[1] or "")


def test_why_auto_is_slow_on_a_cpu(without_native: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "PROBLEM", "was not built")
    no_gpu = "there is no GPU that PyTorch can use"
    assert explain_auto([CPU], torch.float32, BENCHMARK) == f"vmap: {no_gpu}; native was not built"
    monkeypatch.undo()
    assert explain_auto([CPU], torch.float32, BENCHMARK) == f"native: {no_gpu}"


def test_an_engine_that_cannot_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the triton engine trains on CUDA .*, got cpu"):
        choose_engine("triton", [CPU], torch.float32, BENCHMARK)
    with pytest.raises(UsageError, match=r"the native engine .*float64"):
        choose_engine("native", [CPU], torch.float64, BENCHMARK)


def test_why_not_follows_the_engines_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not("native", CPU, torch.float32, BENCHMARK) is None
    assert why_not("native", CUDA, torch.float32, BENCHMARK) == "trains float32 on the CPU, got torch.float32 on cuda"
    assert why_not("vmap", CPU, torch.float64, BENCHMARK) is None
    assert why_not("reference", CUDA, torch.float64, BENCHMARK) is None
    request.getfixturevalue("without_native")
    monkeypatch.setattr(native, "PROBLEM", "was not built")
    assert why_not("native", CPU, torch.float32, BENCHMARK) == "was not built"
    with pytest.raises(UsageError, match="the native engine was not built"):
        choose_engine("native", [CPU], torch.float32, BENCHMARK)


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auto", ["cuda"]),
        ("cpu", ["cpu"]),
        ("cuda", ["cuda"]),
        ("cuda:0", ["cuda:0"]),
        ("cuda:2", ["cuda:2"]),
        ("cuda:all", ["cuda:0", "cuda:1", "cuda:2"]),
    ],
)
def test_devices_by_their_names(three_gpus: None, name: str, expected: list[str]) -> None:
    assert choose_devices(name) == [torch.device(one) for one in expected]


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:one", "CUDA", "cuda:0,1", "cpu:0", "mps", ""])
def test_other_names_are_no_devices(name: str) -> None:
    expected = "device must be one of auto, cpu, cuda, cuda:0 (or another number), cuda:all, got "
    with pytest.raises(UsageError, match=re.escape(f"{expected}{name!r}")):
        choose_devices(name)


def test_a_gpu_that_is_not_there(three_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^device cuda:3: expected one of the 3 GPUs .*, cuda:0 to cuda:2$"):
        choose_devices("cuda:3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda:0", "cuda:all"):
        with pytest.raises(UsageError, match=rf"^device {name} needs a CUDA GPU .* got none"):
            choose_devices(name)


def test_several_gpus_have_an_engine_that_suits_all(gpu: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    gpu((9, 0))
    devices = [torch.device("cuda", index) for index in range(2)]
    assert choose_engine("auto", devices, torch.float32, BENCHMARK) == "cuda"
    capabilities = {devices[0]: (9, 0), devices[1]: (8, 6)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    assert choose_engine("auto", devices, torch.float32, BENCHMARK) == "triton"
    monkeypatch.setattr(torch.cuda, "get_device_capability", {**capabilities, devices[1]: (7, 5)}.__getitem__)
    with pytest.raises(UsageError, match=r"the cuda engine needs a GPU of compute capability 8\.0 or newer, got 7\.5"):
        choose_engine("cuda", devices, torch.float32, BENCHMARK)


def test_gpus_by_their_models(monkeypatch: pytest.MonkeyPatch) -> None:
    models = ["NVIDIA H200", "NVIDIA H200", "NVIDIA L4"]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: models[device.index])
    devices = [torch.device("cuda", index) for index in range(3)]
    assert device_name(devices[:1]) == "NVIDIA H200"
    assert device_name(devices) == "2 x NVIDIA H200 and NVIDIA L4"
