"""Evaluations in Python: `evaluate` one strategy, or `evaluate_many` in a single ensemble."""

import platform
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

import vecparity
from vecparity import reference, spec, strategy
from vecparity.audit import file_unchanged
from vecparity.choice import choose_device, choose_engine, device_name, make_engine
from vecparity.containment import levels
from vecparity.errors import UsageError
from vecparity.evaluation import Evaluation, Provenance
from vecparity.gathering import gather
from vecparity.keeping import keep, notes_of
from vecparity.options import Options
from vecparity.preparation import Preparation
from vecparity.runs import Run
from vecparity.seeds import key_digest
from vecparity.spec import Protocol, TaskConfig
from vecparity.strategy import Strategy
from vecparity.train import WindowClosed, train

OnPrepared = Callable[[Sequence[Run], str], None]
OnWindow = Callable[[WindowClosed], None]


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
    stop_requested: Callable[[], bool] = lambda: False,
) -> Generator[list[Evaluation], None, None]:
    """Evaluates all jobs under one configuration after the other; the next is prepared while one trains.

    Args:
        jobs: See `evaluate_many`.
        configs: The settings of each configuration.
        protocol_name: What provenance says of them.
        options: How.
        on_prepared: See `evaluate_many`.
        on_window: See `evaluate_many`.
        stop_requested: Asked now and then whether to keep a checkpoint and stop.

    Yields:
        For each configuration one evaluation for each job, in order.

    Raises:
        InterruptedTrainingError: A stop was requested.
    """
    if not jobs:
        raise UsageError("jobs must be at least one strategy with a seed, got none")
    device = choose_device("cpu" if options.engine == "native" and options.device == "auto" else options.device)
    init_device = choose_device(options.init_device)
    engines = [choose_engine(options.engine, device, options.dtype, config) for config in configs]
    needs_cuda = init_device.type == "cuda"
    level = levels.choose(options.containment, options.require_containment, needs_cuda=needs_cuda)
    loaded = [chosen if isinstance(chosen, Strategy) else strategy.load(chosen) for chosen, _ in jobs]
    sources = [
        (chosen, options.seeds(seed), options.audit_of(chosen)) for chosen, (_, seed) in zip(loaded, jobs, strict=True)
    ]
    kept = [keep(options, config, sources, engine, device) for config, engine in zip(configs, engines, strict=True)]

    began = time.perf_counter()
    missing = [config for config, (_, prepared) in zip(configs, kept, strict=True) if prepared is None]
    with Preparation(sources, missing, level, options.limits, init_device, options.strategy_log) as preparation:
        preparing = iter(preparation)
        for config, engine, (checkpoints, prepared) in zip(configs, engines, kept, strict=True):
            if prepared is None:
                prepared = next(preparing)
                if checkpoints is not None:
                    checkpoints.begin(prepared.runs, notes_of(prepared))
            num_own = len(jobs) * config.num_runs
            on_prepared(prepared.runs[:num_own], engine)
            tell = _without_audits(on_window, num_own)
            if engine == "reference":
                trained = reference.train(prepared.runs, config, device, options.dtype, tell)
            else:
                trained = train(
                    prepared.runs,
                    config,
                    make_engine(engine, options.chunk_runs),
                    device,
                    options.dtype,
                    tell,
                    checkpoints,
                    stop_requested,
                )
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
                init_device=options.init_device,
                containment=level,
                audit="off",
                seal=None if options.seal_key is None else key_digest(options.seal_key),
                wall_seconds=time.perf_counter() - began,
            )
            made = []
            for job, ((chosen, seeds, mode), (_, seed)) in enumerate(zip(sources, jobs, strict=True)):
                whose = replace(provenance, strategy=chosen.name, strategy_sha256=chosen.sha256, seed=seed, audit=mode)
                ended = [(run, end) for run, end in zip(prepared.runs, trained, strict=True) if run.evaluation == job]
                audit = prepared.audits[job]
                findings = [*audit.findings(trained), file_unchanged(chosen.sha256, Path(chosen.path))] if audit else []
                made.append(gather(config, seeds.secrets(config), ended, findings, whose))
            yield made
            began = time.perf_counter()


def _without_audits(on_window: OnWindow, num_own: int) -> OnWindow:
    """Keeps to itself what concerns the runs behind the evaluations' own."""

    def tell(closed: WindowClosed) -> None:
        own = sum(run < num_own for run in closed.runs)
        if own:
            runs, loss, accuracy = closed.runs[:own], closed.loss[:own], closed.accuracy[:own]
            live = [run for run in closed.live if run < num_own]
            on_window(replace(closed, runs=runs, loss=loss, accuracy=accuracy, live=live))

    return tell
