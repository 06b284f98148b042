"""Evaluations in Python: `evaluate` one strategy, or `evaluate_many` in a single ensemble."""

import platform
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

import vecparity
from vecparity import reference, spec, strategy
from vecparity.audit import file_unchanged
from vecparity.auditing import AuditMode
from vecparity.choice import DeviceName, EngineName, choose_device, choose_engine, device_name, make_engine
from vecparity.containment import levels
from vecparity.containment.levels import Containment, Level
from vecparity.containment.limits import Limits
from vecparity.errors import UsageError
from vecparity.evaluation import Evaluation, Provenance, gather
from vecparity.preparation import Preparation
from vecparity.runs import Run
from vecparity.seeds import PublicSeeds, SealedSeeds, Seeds, key_digest
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
        seal_key: Makes it a sealed evaluation: everything random comes from streams under this key, so that nothing
            that a strategy sees tells it anything (`seeds.new_key` draws one).
        audit: ``report`` adds what audits find, ``strict`` takes the score from an evaluation that fails one. By
            default strategies that are not bundled are reported on where the seeds are public.

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
    seal_key: bytes | None = None
    audit: AuditMode | None = None

    def __post_init__(self) -> None:
        if self.chunk_runs is not None and self.chunk_runs < 1:
            raise UsageError(f"chunk_runs must be at least 1, got {self.chunk_runs}")
        if self.audit not in (None, *get_args(AuditMode)):
            raise UsageError(f"audit must be one of {', '.join(get_args(AuditMode))}, got {self.audit!r}")

    def seeds(self, seed: int) -> Seeds:
        """Where the random numbers of an evaluation under a top-level seed come from."""
        return PublicSeeds(seed) if self.seal_key is None else SealedSeeds(self.seal_key, seed)

    def audit_of(self, chosen: Strategy) -> AuditMode:
        """How a strategy is audited."""
        if self.audit is not None:
            return self.audit
        return "off" if self.seal_key or chosen.is_bundled else "report"


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
    seeds = [options.seeds(seed) for _, seed in jobs]
    device = choose_device("cpu" if options.engine == "native" and options.device == "auto" else options.device)
    init_device = choose_device(options.init_device)
    engines = [choose_engine(options.engine, device, options.dtype, config) for config in configs]
    level = levels.choose(options.containment, options.require_containment)
    loaded = [chosen if isinstance(chosen, Strategy) else strategy.load(chosen) for chosen, _ in jobs]
    sources = [(chosen, its, options.audit_of(chosen)) for chosen, its in zip(loaded, seeds, strict=True)]

    began = time.perf_counter()
    with Preparation(sources, configs, level, options.limits, init_device, options.strategy_log) as preparation:
        for config, engine, prepared in zip(configs, engines, preparation, strict=True):
            num_own = len(jobs) * config.num_runs
            on_prepared(prepared.runs[:num_own], engine)
            tell = _without_audits(on_window, num_own)
            if engine == "reference":
                trained = reference.train(prepared.runs, config, device, options.dtype, tell)
            else:
                chosen_engine = make_engine(engine, options.chunk_runs)
                trained = train(prepared.runs, config, chosen_engine, device, options.dtype, tell)
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
                audit="off",
                seal=None if options.seal_key is None else key_digest(options.seal_key),
                wall_seconds=time.perf_counter() - began,
            )
            made = []
            for job, ((chosen, _, mode), (_, seed)) in enumerate(zip(sources, jobs, strict=True)):
                whose = replace(provenance, strategy=chosen.name, strategy_sha256=chosen.sha256, seed=seed, audit=mode)
                ended = [(run, end) for run, end in zip(prepared.runs, trained, strict=True) if run.evaluation == job]
                audit = prepared.audits[job]
                findings = [*audit.findings(trained), file_unchanged(chosen.sha256, Path(chosen.path))] if audit else []
                made.append(gather(config, ended, findings, whose))
            yield made
            began = time.perf_counter()


def _without_audits(on_window: OnWindow, num_own: int) -> OnWindow:
    """Keeps to itself what concerns the runs behind the evaluations' own."""

    def tell(closed: WindowClosed) -> None:
        own = sum(run < num_own for run in closed.runs)
        if own:
            on_window(replace(closed, runs=closed.runs[:own], loss=closed.loss[:own], accuracy=closed.accuracy[:own]))

    return tell
