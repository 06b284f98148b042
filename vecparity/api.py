"""Evaluations in Python: `evaluate` one strategy, or `evaluate_many` together."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vecparity.analysis.frames import to_dataframe
from vecparity.errors import UsageError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.job import Job
from vecparity.evaluation.options import Options
from vecparity.evaluation.result import Evaluation
from vecparity.evaluator import Evaluator, as_list
from vecparity.history.store import History
from vecparity.report.notebook import fragment
from vecparity.strategy.parameters import Value
from vecparity.strategy.source import Strategy
from vecparity.task.config import Protocol, TaskConfig

# Attached here because these modules import Evaluation; callers get every evaluation through this module.
Evaluation.to_dataframe = to_dataframe  # type: ignore[method-assign]
Evaluation._repr_html_ = fragment  # type: ignore[method-assign]


def evaluate(
    strategy: str | Path | Strategy,
    config: str | TaskConfig = "n32-k8",
    *,
    seed: int = 42,
    params: Mapping[str, Value] = MappingProxyType({}),
    protocol: Protocol = "full",
    smoke: bool = False,
    followers: Sequence[Follower] = (),
    history: History | str | Path | None = None,
    reuse: bool = False,
    **options: Any,
) -> Evaluation:
    """Trains and tests all runs of one strategy under one seed.

    Args:
        strategy: The name of a bundled strategy, a file, or a loaded strategy.
        config: See `evaluate_many`.
        seed: The top-level seed.
        params: Values for the strategy's parameters, by name (see `Job`).
        protocol: See `evaluate_many`.
        smoke: See `evaluate_many`.
        followers: See `evaluate_many`.
        history: See `evaluate_many`.
        reuse: See `evaluate_many`.
        **options: See `evaluate_many`.

    Returns:
        The evaluation; its ``metrics`` are the values that the command prints.

    Raises:
        VecparityError: See `evaluate_many`.
    """
    options, settings = _divided(options)
    job = Job(strategy, config, seed, params, protocol, smoke, settings)
    with Evaluator(followers=followers, history=history, reuse=reuse, **options) as evaluator:
        return evaluator.together([job])[0]


def evaluate_many(
    jobs: Sequence[tuple[str | Path | Strategy, int]],
    config: str | TaskConfig = "n32-k8",
    *,
    protocol: Protocol = "full",
    smoke: bool = False,
    followers: Sequence[Follower] = (),
    history: History | str | Path | None = None,
    reuse: bool = False,
    **options: Any,
) -> list[Evaluation]:
    """Trains several strategies, or seeds of one, in a single ensemble, each with the same result as from `evaluate`.

    Args:
        jobs: Strategies (a bundled name, a file, or a loaded strategy), each paired with the seed of its evaluation.
        config: A label (``n32-k8``, ``n50-k8``, ``n64-k8``), or settings, used unchanged.
        protocol: ``full`` or ``published``; only with a label.
        smoke: The short settings on top of the protocol; only with a label.
        followers: Objects to notify of the progress.
        history: The history to record the evaluations in, if any: a file, or a history opened with ``create=True``. If
            recording fails, warns, returns the evaluations anyway, and leaves their checkpoint in place.
        reuse: Take evaluations of the same source, settings, engine, device and versions from the history.
        **options: Fields of `Options` and of `TaskConfig`, by name.

    Returns:
        One evaluation for each job, in order.

    Raises:
        UsageError: An argument is invalid.
        InvalidStrategyError: A strategy does not load, or returned something that the contract refuses.
        StrategyFailedError: A function of a strategy raised, hit a limit, or ended its process.
        MachineError: A single run does not fit into memory, or strategies cannot be contained as requested.
    """
    options, settings = _divided(options)
    pairs = [_pair(job) for job in as_list("jobs", jobs, "pairs of a strategy and a seed")]
    if not pairs:
        raise UsageError("jobs must be at least one strategy with a seed, got none")
    with Evaluator(followers=followers, history=history, reuse=reuse, **options) as evaluator:
        return evaluator.together(
            [Job(strategy, config, seed, {}, protocol, smoke, settings) for strategy, seed in pairs]
        )


def _divided(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divides keyword arguments into options and, for all other names, settings of the task."""
    names = {option.name for option in fields(Options)}
    settings = {name: value for name, value in options.items() if name not in names}
    return {name: value for name, value in options.items() if name in names}, settings


def _pair(job: tuple[str | Path | Strategy, int]) -> tuple[str | Path | Strategy, int]:
    if not (isinstance(job, tuple | list) and len(job) == 2):
        raise UsageError(f"jobs must be pairs of a strategy and a seed, got {job!r}")
    return job
