"""Runs for comparisons, and the comparison of an engine with the oracle."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from conftest import CPU
from torch.nn.functional import binary_cross_entropy

from vecparity.kernels.cpu import native
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import OptimizerConfig, TaskConfig, task_config
from vecparity.task.dataset import Dataset, pack, unpack
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.task.seeds import PublicSeeds
from vecparity.training import reference
from vecparity.training.engines.interface import Engine
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.loop import Trained, train
from vecparity.training.runs import Run
from vecparity.training.runs import make_runs as runs_of_strategies
from vecparity.training.schedule import Schedule, Window

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
    return train(runs, config, engine, [CPU], dtype, lambda closed: None)


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


def make_run(num_examples: int, density: float, saturates: bool, seed: int, config: TaskConfig) -> Run:
    """A run on rows of which only a share of the features is ever on.

    If it saturates, z is about 60 where the first feature is on: probabilities of 1 in either precision, right or
    wrong.
    """
    generator = torch.Generator().manual_seed(seed)
    n_features, hidden_width = config.n_features, config.hidden_width
    dataset = make_dataset(num_examples, seed, n_features)
    is_used = torch.rand(n_features, generator=generator) < density
    bits = pack((unpack(dataset.bits, n_features, torch.float32) * is_used).to(torch.uint8))
    params = torch.randn(hidden_width * (n_features + 2) + 1, generator=generator)
    parameters = unflatten(params, parameter_shapes(n_features, hidden_width))
    parameters["0.weight"] /= n_features**0.5
    parameters["2.weight"] /= hidden_width**0.5
    if saturates:
        parameters["0.weight"][0] = torch.tensor([60.0] + [0.0] * (n_features - 1))
        parameters["2.weight"][0, 0] = 1.0
    # So small a beta1 that exp_avg is the last gradient.
    optimizer = OptimizerConfig(lr=1e-3, wd=0.1, beta1=1e-12, beta2=0.9)
    test_set = make_dataset(config.test_set_size, 0, n_features)
    dataset = replace(dataset, bits=bits)
    return replace(make_runs()[0], params=params, optimizer=optimizer, dataset=dataset, test_set=test_set)


def oracle_gradients(run: Run, rows: torch.Tensor, hidden_width: int) -> tuple[torch.Tensor, float, torch.Tensor]:
    """Each example's share of the gradient [example, param], the batch's loss, and p [example], in float64."""
    n_features = run.dataset.n_features
    shapes = parameter_shapes(n_features, hidden_width)
    x, y = unpack(run.dataset.bits[rows], n_features, torch.float64), run.dataset.labels[rows].double()

    def probability(params: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        parameters = unflatten(params, shapes)
        hidden = torch.relu(x @ parameters["0.weight"].T + parameters["0.bias"])
        return torch.sigmoid(hidden @ parameters["2.weight"][0] + parameters["2.bias"][0])

    def loss(params: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return binary_cross_entropy(probability(params, x), y)

    params = run.params.double()
    gradients, losses = torch.func.vmap(torch.func.grad_and_value(loss), (None, 0, 0))(params, x, y)
    return gradients / len(rows), losses.mean().item(), probability(params, x)


def assert_first_gradients(
    engine: Engine, label: str, strategy: str, num_secrets: int, device: torch.device, tolerance: float
) -> None:
    """Compares the gradients of a bundled strategy's first step with float64's, relative to their norms."""
    config = task_config(label, num_hidden_secrets=num_secrets, num_orderings=2, test_set_size=1)
    optimizer = OptimizerConfig(lr=1e-3, wd=0.1, beta1=1e-12, beta2=0.9)  # exp_avg is the last gradient
    made = runs_of_strategies([(interface.load(load(strategy)), PublicSeeds(42))], config)
    chosen = [replace(run, optimizer=optimizer) for run in made]
    ensemble = Ensemble.start(chosen, config.hidden_width, device)
    (window,) = windows(chosen, [1], config)
    engine.advance(ensemble, window)
    for run, rows, gradient in zip(chosen, window.indices[:, 0].long(), ensemble.exp_avg.double().cpu(), strict=True):
        expected = oracle_gradients(run, rows, config.hidden_width)[0].sum(dim=0)
        assert (gradient - expected).norm() <= tolerance * expected.norm()


def trace_runs(case: dict[str, Any]) -> tuple[list[Run], TaskConfig]:
    """The runs of a traced evaluation, and its settings."""
    config = TaskConfig(**case["trace"]["config"])
    return runs_of_strategies([(interface.load(load(case["strategy"])), PublicSeeds(case["seed"]))], config), config


# At its 26th step a ReLU is within 3e-7 of zero (benchmarks/LOG.md): which side it falls to is a matter of rounding.
CHAOTIC = {"clean_noisy_cube_n64": (0, 1)}


def steady_trace(
    cases: dict[str, Any], name: str, num_runs: int | None = None
) -> tuple[list[Run], TaskConfig, dict[str, Any]]:
    """The first or all runs of a traced evaluation, its settings and the case, but for the run that is chaotic."""
    case = cases[name]
    runs, config = trace_runs(case)
    kept = {(run.secret_index, run.order_index): run for run in runs}
    kept.pop(CHAOTIC.get(name, (-1, -1)), None)
    kept = dict(list(kept.items())[:num_runs])
    rows = {key: [row for row in case["trace"][key] if tuple(row[:2]) in kept] for key in ("train", "runs")}
    return list(kept.values()), config, {**case, "trace": {**case["trace"], **rows}}


def assert_follows_trace(case: dict[str, Any], runs: Sequence[Run], ends: Sequence[Trained]) -> None:
    """Compares every loss and accuracy, and where runs ended, with the original's."""
    expected = case["trace"]
    index = {(run.secret_index, run.order_index): position for position, run in enumerate(runs)}
    assert len(expected["train"]) == len(runs) * expected["config"]["max_steps"]
    for secret, order, step, loss, share in expected["train"]:
        curve = ends[index[secret, order]].curve
        assert curve.step[step - 1] == step
        assert curve.loss[step - 1] == pytest.approx(loss, abs=1e-5, rel=0)
        assert curve.accuracy[step - 1] == pytest.approx(share, abs=1e-6, rel=0)
    for secret, order, steps, _ in expected["runs"]:
        assert ends[index[secret, order]].steps == steps
