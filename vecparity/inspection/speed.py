"""Measures an engine's training speed in less than a second, without any strategy."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import Dataset, pack, parity_labels
from vecparity.task.network import parameter_shapes
from vecparity.training import reference
from vecparity.training.engines.names import EngineName
from vecparity.training.engines.select import make_engine
from vecparity.training.ensemble import Ensemble
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule

_NUM_WINDOWS = (5, 9)  # fewest and most
_SECONDS = 0.6  # approximate total over all windows, if the fewest do not take longer
_TRIAL_STEPS = 5
_MOST_STEPS = 250  # `train` lets an engine take no more at a time
_NUM_EXAMPLES = 4_096
_SECRET = tuple(range(8))
_SCALE = 0.1  # standard deviation of the weights


@dataclass(frozen=True)
class Speed:
    """An engine's measured speed.

    Attributes:
        num_runs: Number of runs that trained together.
        run_steps_per_second: The median of a few windows, after a warm-up.
        slowest: The rate of the slowest window.
        fastest: The rate of the fastest window.
    """

    num_runs: int
    run_steps_per_second: float
    slowest: float
    fastest: float


def measure(name: EngineName, device: torch.device) -> Speed:
    """Trains runs on uniform random rows of 32 features with an engine that is available."""
    num_runs = 1 if name == "reference" else 64 if device.type == "cuda" else 2 * max(8, torch.get_num_threads())
    train = _by_reference(device) if name == "reference" else _by_engine(name, device, num_runs)
    train(_TRIAL_STEPS)  # loads, compiles and fills caches
    per_step = min(train(_TRIAL_STEPS) for _ in range(2)) / _TRIAL_STEPS
    fewest, most = _NUM_WINDOWS
    num_steps = max(1, min(_MOST_STEPS, round(_SECONDS / most / per_step)))
    train(num_steps)  # a window of this length may be prepared anew
    seconds: list[float] = []
    while len(seconds) < fewest or (len(seconds) < most and sum(seconds) < _SECONDS):
        seconds.append(train(num_steps))
    rates = [num_runs * num_steps / each for each in seconds]
    return Speed(num_runs, statistics.median(rates), min(rates), max(rates))


def _by_engine(name: EngineName, device: torch.device, num_runs: int) -> Callable[[int], float]:
    """Returns a function that trains a number of steps and returns the seconds that they took."""
    engine, config = make_engine(name, None), TaskConfig()
    runs = _runs(config, num_runs)
    ensemble = Ensemble.start(runs, config.hidden_width, device)

    def train(num_steps: int) -> float:
        with Schedule.of(runs, config.batch_size, [num_steps], device) as schedule:
            window = next(schedule)
            began = time.perf_counter()
            engine.advance(ensemble, window).loss.tolist()  # `tolist` waits for a GPU
            return time.perf_counter() - began

    return train


def _by_reference(device: torch.device) -> Callable[[int], float]:
    runs = _runs(TaskConfig(), 1)

    def train(num_steps: int) -> float:
        times: list[float] = []
        config = TaskConfig(max_steps=num_steps + 1, log_interval=num_steps + 1)  # windows close after step 1 and last
        reference.train(runs, config, device, torch.float32, lambda closed: times.append(time.perf_counter()))
        return times[1] - times[0]

    return train


def _runs(config: TaskConfig, num_runs: int) -> list[Run]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 2, (_NUM_EXAMPLES, config.n_features), generator=generator, dtype=torch.uint8)
    data = Dataset(pack(x), parity_labels(x, _SECRET).to(torch.uint8), config.n_features)
    num_params = sum(shape.numel() for shape in parameter_shapes(config.n_features, config.hidden_width).values())
    params = _SCALE * torch.randn(num_runs, num_params, generator=generator)
    optimizer = OptimizerConfig(lr=1e-3, wd=1e-2, beta1=0.9, beta2=0.999)
    return [Run(0, 0, j, params[j], optimizer, data, data, ordering_seed=j) for j in range(num_runs)]
