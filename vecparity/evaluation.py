"""Evaluations in Python: `evaluate` one strategy, or `evaluate_many` in a single ensemble."""

import math
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import torch

import vecparity
import vecparity.engines.native
from vecparity import engines, native, reference, spec, strategy
from vecparity.engines import Engine
from vecparity.errors import DivergedError, UsageError
from vecparity.runs import Run, make_runs
from vecparity.seeds import PublicSeeds
from vecparity.spec import Protocol, TaskConfig
from vecparity.strategy import Strategy
from vecparity.train import Curve, Trained, WindowClosed, train

EngineName = Literal["auto", "native", "triton", "vmap", "reference"]
DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class DatasetSummary:
    """One secret's training set: its number of rows and the share of them with label 1."""

    secret_index: int
    num_examples: int
    positive_rate: float


@dataclass(frozen=True)
class RunResult:
    """How one run ended: the steps until it stopped and the share of its secret's test set that it got right."""

    secret_index: int
    order_index: int
    steps: int
    test_accuracy: float


@dataclass(frozen=True)
class DivergedRun:
    """A run that was frozen, with the step whose loss was not finite."""

    secret_index: int
    order_index: int
    step: int


@dataclass(frozen=True)
class RunCurve:
    """What one run's windows showed."""

    secret_index: int
    order_index: int
    curve: Curve


@dataclass(frozen=True)
class Metrics:
    """The evaluation's figures (contract section 6): means over all runs, the population's standard deviation."""

    test_accuracy: float
    score: float
    test_accuracy_std: float
    mean_steps: float
    num_runs: int


@dataclass(frozen=True)
class Provenance:
    """What made an evaluation. ``wall_seconds`` is that of all evaluations that shared the ensemble."""

    vecparity: str
    torch: str
    python: str
    engine: str
    device: str
    dtype: str
    strategy: str
    strategy_sha256: str
    seed: int
    protocol: str
    wall_seconds: float


@dataclass(frozen=True)
class Evaluation:
    """One strategy's result under one seed; lists are ordered by (secret, ordering).

    Attributes:
        config: The settings.
        datasets: One summary a secret.
        results: One a run, but for diverged ones.
        diverged: Runs whose loss ceased to be finite.
        curves: One a run.
        provenance: What made it.
    """

    config: TaskConfig
    datasets: list[DatasetSummary]
    results: list[RunResult]
    diverged: list[DivergedRun]
    curves: list[RunCurve]
    provenance: Provenance

    @property
    def metrics(self) -> Metrics:
        """The figures.

        Raises:
            DivergedError: A run diverged: there is no score.
        """
        if self.diverged:
            runs = ", ".join(
                f"secret={run.secret_index} order={run.order_index} (step {run.step})" for run in self.diverged
            )
            raise DivergedError(
                f"{self.provenance.strategy} with seed {self.provenance.seed} has no score: "
                f"expected finite losses, got {len(self.diverged)} diverged of "
                f"{len(self.diverged) + len(self.results)} runs: {runs}"
            )
        accuracies = [result.test_accuracy for result in self.results]
        mean = math.fsum(accuracies) / len(accuracies)
        variance = math.fsum((value - mean) ** 2 for value in accuracies) / len(accuracies)
        mean_steps = sum(result.steps for result in self.results) / len(self.results)
        return Metrics(mean, mean, math.sqrt(variance), mean_steps, len(self.results))


def evaluate(
    strategy: str | Path | Strategy, config: str | TaskConfig = "n32-k8", *, seed: int = 42, **options: Any
) -> Evaluation:
    """Trains and tests all runs of one strategy under one seed.

    Args:
        strategy: A bundled strategy's name, a file, or a loaded strategy.
        config: See `evaluate_many`.
        seed: The top-level seed.
        **options: See `evaluate_many`.

    Returns:
        The evaluation; its ``metrics`` are what the command prints.
    """
    return evaluate_many([(strategy, seed)], config, **options)[0]


def evaluate_many(
    jobs: Sequence[tuple[str | Path | Strategy, int]],
    config: str | TaskConfig = "n32-k8",
    *,
    protocol: Protocol = "full",
    smoke: bool = False,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    init_device: Literal["cpu", "cuda"] = "cpu",
    chunk_runs: int | None = None,
    dtype: torch.dtype = torch.float32,
    on_prepared: Callable[[Sequence[Run], str], None] = lambda runs, engine: None,
    on_window: Callable[[WindowClosed], None] = lambda closed: None,
    **overrides: int | float,
) -> list[Evaluation]:
    """Trains several strategies, or seeds of one, in a single ensemble; each result is that of its own `evaluate`.

    Args:
        jobs: Strategies (a bundled name, a file, or loaded) with the seeds to evaluate them under.
        config: A label (``n32-k8``, ``n50-k8``, ``n64-k8``), or settings taken as they are.
        protocol: ``full`` or ``published``; only with a label.
        smoke: The short settings on top of the protocol; only with a label.
        engine: What computes the windows. ``auto`` takes the fastest that the machine can run.
        device: Where. ``auto`` takes CUDA if there is one.
        init_device: Where ``init_model`` draws. ``cuda`` reproduces the original's draws there.
        chunk_runs: The most runs that train together (by default as many as suit the machine);
            `native` has no use for it, since it trains one on each thread.
        dtype: Of parameters, moments and gradients.
        on_prepared: Told of the runs before they train, and of the engine that will train them.
        on_window: Told of every window that closes.
        **overrides: Fields of `TaskConfig`, by name.

    Returns:
        One evaluation for each job, in order.

    Raises:
        UsageError: An argument that cannot be.
        InvalidStrategyError: A strategy does not load or returned what the contract refuses.
        StrategyFailedError: A function of a strategy raised.
        MachineError: A single run does not fit into memory.
    """
    began = time.perf_counter()
    if not isinstance(config, TaskConfig):
        config = spec.task_config(config, protocol=protocol, smoke=smoke, **overrides)
        protocol_name = protocol + ("+smoke" if smoke else "")
    else:
        if protocol != "full" or smoke:
            raise UsageError("protocol and smoke go with a label: expected one as config, got a TaskConfig")
        config = spec.override(config, overrides)
        protocol_name = "custom"
    if not jobs:
        raise UsageError("jobs must be at least one strategy with a seed, got none")
    seeds = [PublicSeeds(seed) for _, seed in jobs]
    if engine not in get_args(EngineName):
        raise UsageError(f"engine must be one of {', '.join(get_args(EngineName))}, got {engine!r}")
    if chunk_runs is not None and chunk_runs < 1:
        raise UsageError(f"chunk_runs must be at least 1, got {chunk_runs}")
    on = _resolve_device("cpu" if engine == "native" and device == "auto" else device)
    init_on = _resolve_device(init_device)
    engine_name = _resolve_engine(engine, on, dtype, config)
    loaded = [(chosen if isinstance(chosen, Strategy) else strategy.load(chosen), seed) for chosen, seed in jobs]

    runs = make_runs([(chosen, own) for (chosen, _), own in zip(loaded, seeds, strict=True)], config, init_on)
    on_prepared(runs, engine_name)
    if engine_name == "reference":
        trained = reference.train(runs, config, on, dtype, on_window)
    else:
        trained = train(runs, config, _make_engine(engine_name, chunk_runs), on, dtype, on_window)

    provenance = Provenance(
        vecparity=vecparity.__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        engine=engine_name,
        device=torch.cuda.get_device_name(on) if on.type == "cuda" else cpu_name(),
        dtype=str(dtype).removeprefix("torch."),
        strategy="",
        strategy_sha256="",
        seed=0,
        protocol=protocol_name,
        wall_seconds=time.perf_counter() - began,
    )
    return [
        _gather(
            config,
            [(run, end) for run, end in zip(runs, trained, strict=True) if run.evaluation == job],
            replace(provenance, strategy=chosen.name, strategy_sha256=chosen.sha256, seed=seed),
        )
        for job, (chosen, seed) in enumerate(loaded)
    ]


def summarise_datasets(runs: Sequence[Run]) -> list[DatasetSummary]:
    """Summarises the training sets of one evaluation's runs, by secret."""
    datasets = {run.secret_index: run.dataset for run in runs}
    return [DatasetSummary(i, data.num_examples, data.positive_rate) for i, data in datasets.items()]


def _gather(config: TaskConfig, ended: list[tuple[Run, Trained]], provenance: Provenance) -> Evaluation:
    return Evaluation(
        config=config,
        datasets=summarise_datasets([run for run, _ in ended]),
        results=[
            RunResult(run.secret_index, run.order_index, end.steps, end.test_accuracy)
            for run, end in ended
            if end.test_accuracy is not None
        ],
        diverged=[
            DivergedRun(run.secret_index, run.order_index, end.steps) for run, end in ended if end.test_accuracy is None
        ],
        curves=[RunCurve(run.secret_index, run.order_index, end.curve) for run, end in ended],
        provenance=provenance,
    )


def _resolve_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda needs a CUDA GPU that PyTorch can use, got none (try --device cpu)")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"device must be one of auto, cpu, cuda, got {name!r}")
    return torch.device(name)


def _resolve_engine(name: EngineName, device: torch.device, dtype: torch.dtype, config: TaskConfig) -> EngineName:
    why_not_native = engines.native.why_not(device, dtype)
    if name == "native":
        if why_not_native:
            raise UsageError(f"the native engine {why_not_native}")
        native.extension()  # or the error that says how to build it
    if name == "triton":
        if device.type != "cuda":
            raise UsageError(f"the triton engine trains on CUDA, got {device}")
        if not find_spec("triton"):
            raise UsageError("the triton engine needs Triton: pip install triton")
        from vecparity.engines.triton import why_not

        if problem := why_not(config.n_features, config.hidden_width, config.batch_size, dtype):
            raise UsageError(f"the triton engine {problem}")
    if name != "auto":
        return name
    if why_not_native:
        return "vmap"
    if not native.is_available():
        warnings.warn(f"{native.PROBLEM}; the slower vmap engine is used", stacklevel=3)
        return "vmap"
    return "native"


def _make_engine(name: EngineName, chunk_runs: int | None) -> Engine:
    # The others are imported where they are used: torch.func takes longer to load than a small evaluation to train.
    if name == "native":
        return engines.native.NativeEngine()
    if name == "triton":
        from vecparity.engines.triton import TritonEngine

        return TritonEngine()
    from vecparity.engines.vmap import VmapEngine

    return VmapEngine(chunk_runs)


def cpu_name() -> str:
    """The processor's model where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
