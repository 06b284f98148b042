"""Evaluations in Python: `evaluate` one strategy, or `evaluate_many` in a single ensemble."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from vecparity import spec
from vecparity.errors import UsageError
from vecparity.evaluation import Evaluation
from vecparity.evaluations import OnPrepared, OnWindow, evaluations
from vecparity.options import Options
from vecparity.spec import Protocol, TaskConfig
from vecparity.strategy import Strategy


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
