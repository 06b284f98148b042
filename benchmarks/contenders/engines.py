"""Our own engines, with the schedule that prepares their windows in the background, as an evaluation runs them."""

from collections.abc import Callable, Sequence

from torch import Tensor

from benchmarks.cases import CPU, Contender, TrainWindow
from vecparity import native
from vecparity.engines import Engine
from vecparity.engines.native import NativeEngine
from vecparity.engines.vmap import VmapEngine
from vecparity.ensemble import Ensemble
from vecparity.runs import Run
from vecparity.schedule import Schedule
from vecparity.spec import TaskConfig


def prepare_with(make_engine: Callable[[], Engine]) -> Callable[[Sequence[Run], TaskConfig, int], TrainWindow]:
    def prepare(runs: Sequence[Run], config: TaskConfig, num_steps: int) -> TrainWindow:
        engine = make_engine()
        ensemble = Ensemble.start(runs, config.hidden_width, CPU)
        schedule = Schedule.of(runs, config.batch_size, iter(lambda: num_steps, None))

        def train_window() -> Tensor:
            metrics = engine.advance(ensemble, next(schedule))
            return metrics.loss / metrics.num_batches

        return train_window

    return prepare


CONTENDERS = [
    Contender("native", native.PROBLEM or None, prepare_with(NativeEngine)),
    Contender("vmap", None, prepare_with(VmapEngine)),
]
