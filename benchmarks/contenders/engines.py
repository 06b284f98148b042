"""Our own engines, with the schedule that prepares their windows in the background, as an evaluation runs them."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

from benchmarks.cases import Contender, TrainWindow
from vecparity.kernels.cpu import native
from vecparity.task.config import TaskConfig, task_config
from vecparity.training.engines.cuda import CudaEngine
from vecparity.training.engines.interface import Engine
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.select import why_not
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule


def prepare_with(
    make_engine: Callable[[], Engine],
) -> Callable[[Sequence[Run], TaskConfig, int, torch.device], TrainWindow]:
    def prepare(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> TrainWindow:
        engine = make_engine()
        ensemble = Ensemble.start(runs, config.hidden_width, device)
        schedule = Schedule.of(runs, config.batch_size, iter(lambda: num_steps, None), device)

        def train_window() -> Tensor:
            metrics = engine.advance(ensemble, next(schedule))
            return (metrics.loss / metrics.num_batches).cpu()

        return train_window

    return prepare


def make_triton_engine() -> Engine:
    from vecparity.training.engines.triton import TritonEngine

    return TritonEngine()


def why_not_native(device: torch.device) -> str | None:
    return native.PROBLEM or None if device.type == "cpu" else "it trains on the CPU"


def why_not_triton(device: torch.device) -> str | None:
    if device.type != "cuda":
        return "it trains on CUDA"
    return None if find_spec("triton") else "pip install triton"


def why_not_cuda(device: torch.device) -> str | None:
    if device.type != "cuda":
        return "it trains on CUDA"
    return why_not("cuda", device, torch.float32, task_config())


CONTENDERS = [
    Contender("native", why_not_native, prepare_with(NativeEngine)),
    Contender("cuda", why_not_cuda, prepare_with(CudaEngine)),
    Contender("triton", why_not_triton, prepare_with(make_triton_engine)),
    Contender("vmap", lambda device: None, prepare_with(VmapEngine)),
]
