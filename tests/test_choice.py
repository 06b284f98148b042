import pytest
import torch

from vecparity import choice, native
from vecparity.choice import EngineName, choose_engine, why_not
from vecparity.errors import UsageError
from vecparity.spec import TaskConfig, task_config

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
BENCHMARK = task_config("n64-k8")


@pytest.mark.parametrize(
    ("device", "dtype", "config", "expected"),
    [
        (CPU, torch.float32, BENCHMARK, "native"),
        (CPU, torch.float64, BENCHMARK, "vmap"),
        (CUDA, torch.float32, BENCHMARK, "triton"),
        (CUDA, torch.float32, TaskConfig(n_features=256), "triton"),
        (CUDA, torch.float64, BENCHMARK, "vmap"),
        (CUDA, torch.float32, TaskConfig(n_features=257), "vmap"),
        (CUDA, torch.float32, TaskConfig(hidden_width=24), "vmap"),
        (CUDA, torch.float32, TaskConfig(batch_size=512), "vmap"),
    ],
)
def test_auto_takes_the_fastest_that_can(
    device: torch.device, dtype: torch.dtype, config: TaskConfig, expected: EngineName
) -> None:
    assert choose_engine("auto", device, dtype, config) == expected


def test_auto_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    assert choose_engine("auto", CUDA, torch.float32, BENCHMARK) == "vmap"
    with pytest.raises(UsageError, match="the triton engine needs Triton: pip install triton"):
        choose_engine("triton", CUDA, torch.float32, BENCHMARK)


def test_auto_on_a_gpu_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert choose_engine("auto", CUDA, torch.float32, BENCHMARK) == "vmap"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert choose_engine("auto", CUDA, torch.float32, BENCHMARK) == "triton"


def test_an_engine_that_cannot_is_refused() -> None:
    with pytest.raises(UsageError, match="the triton engine trains on CUDA, got cpu"):
        choose_engine("triton", CPU, torch.float32, BENCHMARK)
    with pytest.raises(UsageError, match=r"the native engine .*float64"):
        choose_engine("native", CPU, torch.float64, BENCHMARK)


def test_why_not_follows_the_engines_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not("native", CPU, torch.float32, BENCHMARK) is None
    assert why_not("native", CUDA, torch.float32, BENCHMARK) == "trains float32 on the CPU, got torch.float32 on cuda"
    assert why_not("triton", CPU, torch.float32, BENCHMARK) == "trains on CUDA, got cpu"
    assert why_not("vmap", CPU, torch.float64, BENCHMARK) is None
    assert why_not("reference", CUDA, torch.float64, BENCHMARK) is None
    monkeypatch.setattr(native, "_native", None)
    monkeypatch.setattr(native, "PROBLEM", "was not built")
    assert why_not("native", CPU, torch.float32, BENCHMARK) == "was not built"
    with pytest.raises(UsageError, match="the native engine was not built"):
        choose_engine("native", CPU, torch.float32, BENCHMARK)
