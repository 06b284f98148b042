"""Evaluations in Python: `evaluate` one strategy, or `evaluate_many` in a single ensemble."""

import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from vecparity.analysis.frames import to_dataframe
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.callbacks import Follower, Followers
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import evaluations
from vecparity.evaluation.result import Evaluation
from vecparity.history.recorder import Recorder
from vecparity.history.store import History
from vecparity.report.notebook import fragment
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import CONFIGURATIONS, Protocol, TaskConfig, override, protocol_name, task_config

Item = TypeVar("Item")

# Attached here because these modules import Evaluation; callers get every evaluation through this module.
Evaluation.to_dataframe = to_dataframe  # type: ignore[method-assign]
Evaluation._repr_html_ = fragment  # type: ignore[method-assign]


def evaluate(
    strategy: str | Path | Strategy, config: str | TaskConfig = "n32-k8", *, seed: int = 42, **options: Any
) -> Evaluation:
    """Trains and tests all runs of one strategy under one seed.

    Args:
        strategy: The name of a bundled strategy, a file, or a loaded strategy.
        config: See `evaluate_many`.
        seed: The top-level seed.
        **options: See `evaluate_many`.

    Returns:
        The evaluation; its ``metrics`` are the values that the command prints.
    """
    return evaluate_many([(strategy, seed)], config, **options)[0]


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
    _require_bool("smoke", smoke)
    _require_bool("reuse", reuse)
    if not isinstance(config, str | TaskConfig):
        raise UsageError(f"config must be one of {', '.join(CONFIGURATIONS)}, or a TaskConfig, got {config!r}")
    how = Options(**{option.name: options.pop(option.name) for option in fields(Options) if option.name in options})
    if not isinstance(config, TaskConfig):
        config = task_config(config, protocol=protocol, smoke=smoke, **options)
        named = protocol_name(protocol, smoke=smoke)
    elif protocol != "full" or smoke:
        raise UsageError("protocol and smoke need a label as config (n32-k8, n50-k8 or n64-k8), got a TaskConfig")
    else:
        config = override(config, options)
        named = "custom"
    if reuse and history is None:
        raise UsageError("reuse needs a history to take evaluations from, got none")
    told = _listed("followers", followers, "a sequence of followers")
    for follower in told:
        if not isinstance(follower, Follower):
            raise UsageError(f"followers must have the methods begin, prepared, window and finish, got {follower!r}")
    loaded = [_load(job) for job in _listed("jobs", jobs, "pairs of a strategy and a seed")]
    with _opened(history) as opened:
        recorder = Recorder(opened, reuse=reuse, goes_on=how.resume)
        made = evaluations(loaded, [config], named, how, Followers(told), recall=recorder.recall)
        with closing(made):
            evaluated = next(made)
            try:
                recorder.record(evaluated, loaded)
            except MachineError as error:  # a failed record must not lose the result
                warnings.warn(f"an evaluation could not be recorded: {error}", stacklevel=2)
            else:
                next(made, None)  # recorded, so remove the checkpoints
    return evaluated


def _opened(history: History | str | Path | None) -> AbstractContextManager[History | None]:
    """Returns a history that accepts additions, as a context that closes it only if it was opened here."""
    if isinstance(history, str | Path):
        return History(history, create=True)
    if history is not None:
        if not isinstance(history, History):
            raise UsageError(f"history must be a file's path or an open History, got {history!r}")
        history.require_additions()
    return nullcontext(history)


def _load(job: tuple[str | Path | Strategy, int]) -> tuple[Strategy, int]:
    if not (isinstance(job, tuple | list) and len(job) == 2):
        raise UsageError(f"jobs must be pairs of a strategy and a seed, got {job!r}")
    chosen, seed = job
    return chosen if isinstance(chosen, Strategy) else load(chosen), seed


def _listed(name: str, given: Iterable[Item], expected: str) -> list[Item]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise UsageError(f"{name} must be {expected}, got {given!r}")
    return list(given)


def _require_bool(name: str, given: bool) -> None:
    if not isinstance(given, bool):
        raise UsageError(f"{name} must be True or False, got {given!r}")
