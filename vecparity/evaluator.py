"""Evaluations in Python: `evaluate` one strategy, or `evaluate_many` in a single ensemble."""

import platform
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch

import vecparity
from vecparity import reference, spec, strategy
from vecparity.choice import DeviceName, EngineName, choose_device, choose_engine, device_name, make_engine
from vecparity.containment import levels
from vecparity.containment.levels import Containment, Level
from vecparity.containment.limits import Limits
from vecparity.errors import UsageError
from vecparity.evaluation import Evaluation, Provenance, gather
from vecparity.preparation import Preparation
from vecparity.runs import Run
from vecparity.seeds import PublicSeeds
from vecparity.spec import Protocol, TaskConfig
from vecparity.strategy import Strategy
from vecparity.train import WindowClosed, train

OnPrepared = Callable[[Sequence[Run], str], None]
OnWindow = Callable[[WindowClosed], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How evaluations are made, whatever they mean.

    Attributes:
        engine: What computes the windows. ``auto`` takes the fastest that the machine can run.
        device: Where. ``auto`` takes CUDA if there is one.
        init_device: Where ``init_model`` draws. ``cuda`` reproduces the original's draws there.
        chunk_runs: The most runs that train together (by default as many as suit the machine); only `vmap` has a use
            for it.
        dtype: Of parameters, moments and gradients.
        containment: How strategies are contained. ``auto`` takes the strongest that the machine has.
        require_containment: The weakest containment that will do.
        limits: What each of a strategy's workers may use.
        strategy_log: A file for what strategies print.

    Raises:
        UsageError: A value that cannot be.
    """

    engine: EngineName = "auto"
    device: DeviceName = "auto"
    init_device: Literal["cpu", "cuda"] = "cpu"
    chunk_runs: int | None = None
    dtype: torch.dtype = torch.float32
    containment: Containment = "auto"
    require_containment: Level | None = None
    limits: Limits = field(default_factory=Limits)
    strategy_log: Path | None = None

    def __post_init__(self) -> None:
        if self.chunk_runs is not None and self.chunk_runs < 1:
            raise UsageError(f"chunk_runs must be at least 1, got {self.chunk_runs}")


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
    on_prepared: OnPrepared = lambda runs, engine: None,
    on_window: OnWindow = lambda closed: None,
    **options: Any,
) -> list[Evaluation]:
    """Trains several strategies, or seeds of one, in a single ensemble; each result is that of its own `evaluate`.

    Args:
        jobs: Strategies (a bundled name, a file, or loaded) with the seeds to evaluate them under.
        config: A label (``n32-k8``, ``n50-k8``, ``n64-k8``), or settings taken as they are.
        protocol: ``full`` or ``published``; only with a label.
        smoke: The short settings on top of the protocol; only with a label.
        on_prepared: Told of the runs before they train, and of the engine that will train them.
        on_window: Told of every window that closes.
        **options: Fields of `Options` and of `TaskConfig`, by name.

    Returns:
        One evaluation for each job, in order.

    Raises:
        UsageError: An argument that cannot be.
        InvalidStrategyError: A strategy does not load or returned what the contract refuses.
        StrategyFailedError: A function of a strategy raised, hit a limit, or ended its process.
        MachineError: A single run does not fit into memory, or strategies cannot be contained as asked for.
    """
    how = {option.name: options.pop(option.name) for option in fields(Options) if option.name in options}
    if not isinstance(config, TaskConfig):
        config = spec.task_config(config, protocol=protocol, smoke=smoke, **options)
        protocol_name = protocol + ("+smoke" if smoke else "")
    elif protocol != "full" or smoke:
        raise UsageError("protocol and smoke go with a label: expected one as config, got a TaskConfig")
    else:
        config = spec.override(config, options)
        protocol_name = "custom"
    return next(evaluations(jobs, [config], protocol_name, Options(**how), on_prepared, on_window))


def evaluations(
    jobs: Sequence[tuple[str | Path | Strategy, int]],
    configs: Sequence[TaskConfig],
    protocol_name: str,
    options: Options,
    on_prepared: OnPrepared,
    on_window: OnWindow,
) -> Generator[list[Evaluation], None, None]:
    """Evaluates all jobs under one configuration after the other; the next is prepared while one trains.

    Args:
        jobs: See `evaluate_many`.
        configs: The settings of each configuration.
        protocol_name: What provenance says of them.
        options: How.
        on_prepared: See `evaluate_many`.
        on_window: See `evaluate_many`.

    Yields:
        For each configuration one evaluation for each job, in order.
    """
    if not jobs:
        raise UsageError("jobs must be at least one strategy with a seed, got none")
    seeds = [PublicSeeds(seed) for _, seed in jobs]
    device = choose_device("cpu" if options.engine == "native" and options.device == "auto" else options.device)
    init_device = choose_device(options.init_device)
    engines = [choose_engine(options.engine, device, options.dtype, config) for config in configs]
    level = levels.choose(options.containment, options.require_containment)
    loaded = [chosen if isinstance(chosen, Strategy) else strategy.load(chosen) for chosen, _ in jobs]

    began = time.perf_counter()
    sources = list(zip(loaded, seeds, strict=True))
    with Preparation(sources, configs, level, options.limits, init_device, options.strategy_log) as preparation:
        for config, engine, runs in zip(configs, engines, preparation, strict=True):
            on_prepared(runs, engine)
            if engine == "reference":
                trained = reference.train(runs, config, device, options.dtype, on_window)
            else:
                chosen_engine = make_engine(engine, options.chunk_runs)
                trained = train(runs, config, chosen_engine, device, options.dtype, on_window)
            provenance = Provenance(
                vecparity=vecparity.__version__,
                torch=torch.__version__,
                python=platform.python_version(),
                engine=engine,
                device=device_name(device),
                dtype=str(options.dtype).removeprefix("torch."),
                strategy="",
                strategy_sha256="",
                seed=0,
                protocol=protocol_name,
                containment=level,
                wall_seconds=time.perf_counter() - began,
            )
            yield [
                gather(
                    config,
                    [(run, end) for run, end in zip(runs, trained, strict=True) if run.evaluation == job],
                    replace(provenance, strategy=chosen.name, strategy_sha256=chosen.sha256, seed=seed),
                )
                for job, (chosen, (_, seed)) in enumerate(zip(loaded, jobs, strict=True))
            ]
            began = time.perf_counter()
