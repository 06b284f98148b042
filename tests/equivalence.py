"""Runs made for comparisons, and the comparison of an engine with the oracle."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from conftest import CPU

from vecparity import native, reference
from vecparity.data import Dataset, pack
from vecparity.engines import Engine
from vecparity.engines.native import NativeEngine
from vecparity.engines.vmap import VmapEngine
from vecparity.ensemble import Ensemble
from vecparity.network import parameter_shapes
from vecparity.runs import Run
from vecparity.schedule import Schedule, Window
from vecparity.spec import OptimizerConfig, TaskConfig
from vecparity.train import Trained, train

# The instruction sets of the native kernel that can be tried here.
LEVELS = native.levels() if native.is_available() else []
# Everything that trains float32 on the CPU.
ENGINES: dict[str, Callable[[], Engine]] = {
    "vmap": VmapEngine,
    **{f"native-{level}": partial(NativeEngine, level=level) for level in LEVELS},
}

# Short enough for the oracle, long enough for moments and bias corrections to matter.
CONFIG = TaskConfig(
    n_features=20,
    secret_size=3,
    hidden_width=24,
    batch_size=32,
    max_steps=50,
    log_interval=1,
    min_steps_before_stop=10**6,
    test_set_size=200,
)


def make_dataset(num_examples: int, seed: int, n_features: int) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (num_examples, n_features), generator=generator, dtype=torch.uint8)
    return Dataset(pack(x), x[:, :3].sum(dim=1, dtype=torch.uint8) % 2, n_features)


def make_runs(config: TaskConfig = CONFIG) -> list[Run]:
    """Runs that differ in everything they may differ in.

    Datasets of different sizes (ragged last batches, one smaller than a batch, one of a single row), per-run
    hyperparameters, and initial weights of which some saturate: probabilities of exactly 0 and 1, right and wrong.
    """
    torch.manual_seed(3)
    num_params = sum(shape.numel() for shape in parameter_shapes(config.n_features, config.hidden_width).values())
    sizes = [100, 100, 77, 32, 5, 1, 131, 64, 333]
    scales = [0.2, 0.1, 0.3, 0.2, 0.2, 0.3, 6.0, 20.0, 0.2]
    datasets = {size: make_dataset(size, size, config.n_features) for size in sizes}
    test_set = make_dataset(config.test_set_size, 0, config.n_features)
    return [
        Run(
            evaluation=0,
            secret_index=index // 3,
            order_index=index % 3,
            params=scale * torch.randn(num_params),
            optimizer=OptimizerConfig(
                lr=10 ** (-3 + index / 5),
                wd=[0.0, 0.01, 0.3][index % 3],
                beta1=[0.9, 0.8, 0.4][index // 3],
                beta2=[0.999, 0.95, 0.9][(index + 1) % 3],
            ),
            dataset=datasets[size],
            test_set=test_set,
            ordering_seed=1000 + index,
        )
        for index, (size, scale) in enumerate(zip(sizes, scales, strict=True))
    ]


def train_silently(runs: Sequence[Run], config: TaskConfig, engine: Engine, dtype: torch.dtype) -> list[Trained]:
    return train(runs, config, engine, CPU, dtype, lambda closed: None)


def assert_equivalent(
    engine: Engine, runs: Sequence[Run], config: TaskConfig, dtype: torch.dtype, tolerance: float
) -> None:
    """Compares an engine with the oracle, step by step: every run's losses and accuracies, and how it ended."""
    oracle = reference.train(runs, config, CPU, dtype, lambda closed: None)
    for run, ours, theirs in zip(runs, train_silently(runs, config, engine, dtype), oracle, strict=True):
        assert ours.steps == theirs.steps, run.name
        assert ours.curve.step == theirs.curve.step, run.name
        for what in ("loss", "accuracy"):
            torch.testing.assert_close(
                torch.tensor(getattr(ours.curve, what), dtype=torch.float64),
                torch.tensor(getattr(theirs.curve, what), dtype=torch.float64),
                rtol=tolerance,
                atol=tolerance,
                msg=f"{run.name}, {what}: {{}}".format,
            )
        assert ours.test_accuracy == theirs.test_accuracy, run.name


def start(runs: Sequence[Run], dtype: torch.dtype = torch.float32, config: TaskConfig = CONFIG) -> Ensemble:
    return Ensemble.start(runs, config.hidden_width, CPU, dtype)


def windows(runs: Sequence[Run], lengths: list[int], config: TaskConfig = CONFIG) -> Iterator[Window]:
    with Schedule.of(runs, config.batch_size, lengths) as schedule:
        yield from schedule


def state_bits(ensemble: Ensemble, run: int) -> torch.Tensor:
    state = torch.stack([ensemble.params[run], ensemble.exp_avg[run], ensemble.exp_avg_sq[run]])
    return state.view(torch.int32)


def diverging(run: Run) -> Run:
    return replace(run, optimizer=OptimizerConfig(lr=1e30, wd=0.1, beta1=0.9, beta2=0.99))
