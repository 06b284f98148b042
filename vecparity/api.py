"""Evaluations in Python: `evaluate` one strategy, or `evaluate_many` together; and how all results show themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Unpack, overload

from vecparity.analysis.comparing import compare
from vecparity.analysis.comparison import Comparison, Comparisons
from vecparity.analysis.frames import to_dataframe
from vecparity.analysis.leaderboard import Leaderboard
from vecparity.analysis.ranking import leaderboard
from vecparity.errors import UsageError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.evaluations import Evaluations
from vecparity.evaluation.job import Job, settings_of
from vecparity.evaluation.keywords import EvaluationKeywords, divided, shows
from vecparity.evaluation.result import Evaluation
from vecparity.evaluator import Evaluator, as_list, require_bool
from vecparity.history.store import History
from vecparity.progress.notebook import NotebookProgress, is_notebook
from vecparity.report import notebook
from vecparity.strategy.parameters import Value
from vecparity.strategy.source import Strategy, load_all
from vecparity.task.config import CONFIGURATIONS, Protocol, TaskConfig
from vecparity.tuning import frames
from vecparity.tuning.notebook import search_fragment, sweep_fragment
from vecparity.tuning.results import Search, Sweep
from vecparity.tuning.searching import search
from vecparity.tuning.sweeping import sweep

__all__ = ["Evaluator", "History", "compare", "evaluate", "evaluate_many", "leaderboard", "search", "sweep"]

# Attached here because these modules import what they show; callers get every result through this module.
Evaluation.to_dataframe = to_dataframe  # type: ignore[method-assign]
Evaluation._repr_html_ = notebook.fragment  # type: ignore[method-assign]
Evaluations._repr_html_ = notebook.evaluations  # type: ignore[method-assign]
Comparison._repr_html_ = notebook.tabulated  # type: ignore[method-assign]
Comparisons._repr_html_ = notebook.tabulated  # type: ignore[method-assign]
Leaderboard._repr_html_ = notebook.tabulated  # type: ignore[method-assign]
Sweep.runs, Sweep.summary = property(frames.runs), property(frames.summary)  # type: ignore[method-assign, assignment]
Search.summary = property(frames.trials)  # type: ignore[method-assign, assignment]
Search._repr_html_ = search_fragment  # type: ignore[method-assign]
Sweep._repr_html_ = sweep_fragment  # type: ignore[method-assign]


@overload
def evaluate(  # type: ignore[overload-overlap]  # "all" is a text, too
    strategy: str | Path | Strategy,
    config: Literal["all"],
    *,
    seed: int = 42,
    params: Mapping[str, Value] = MappingProxyType({}),
    protocol: Protocol = "full",
    smoke: bool = False,
    followers: Sequence[Follower] = (),
    history: History | str | Path | None = None,
    reuse: bool = False,
    progress: bool = True,
    **options: Unpack[EvaluationKeywords],
) -> Evaluations: ...


@overload
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
    progress: bool = True,
    **options: Unpack[EvaluationKeywords],
) -> Evaluation: ...


@shows(EvaluationKeywords)
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
    progress: bool = True,
    **options: Unpack[EvaluationKeywords],
) -> Evaluation | Evaluations:
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
        progress: See `evaluate_many`.
        **options: See `evaluate_many`.

    Returns:
        The evaluation; its ``metrics`` are the values that the command prints. With ``config="all"``, one evaluation
        for each configuration.

    Raises:
        VecparityError: See `evaluate_many`.
    """
    own, settings = divided(options, evaluate)
    jobs = [Job(strategy, label, seed, params, protocol, smoke, settings) for label in _labels(config)]
    evaluations = _together(jobs, followers, history, reuse=reuse, progress=progress, options=own)
    return evaluations if config == "all" else evaluations[0]


@shows(EvaluationKeywords)
def evaluate_many(
    jobs: Sequence[tuple[str | Path | Strategy, int]],
    config: str | TaskConfig = "n32-k8",
    *,
    protocol: Protocol = "full",
    smoke: bool = False,
    followers: Sequence[Follower] = (),
    history: History | str | Path | None = None,
    reuse: bool = False,
    progress: bool = True,
    **options: Unpack[EvaluationKeywords],
) -> Evaluations:
    """Trains several strategies, or seeds of one, in a single ensemble, each with the same result as from `evaluate`.

    Args:
        jobs: Strategies (a bundled name, a file, or a loaded strategy), each paired with the seed of its evaluation.
            Files that share a name are named after their directories, too.
        config: A label (``n32-k8``, ``n50-k8``, ``n64-k8``), ``all`` for these three, or settings, used unchanged.
        protocol: ``full`` or ``published``; only with a label.
        smoke: The short settings on top of the protocol; only with a label.
        followers: Objects to notify of the progress.
        history: The history to record the evaluations in, if any: a file, or a history opened with ``create=True``. If
            recording fails, warns, returns the evaluations anyway, and leaves their checkpoint in place.
        reuse: Take evaluations of the same source, settings, engine, device and versions from the history.
        progress: Show the progress in a notebook, under the cell.
        **options: Fields of `Options` and of `TaskConfig`, by name.

    Returns:
        One evaluation for each job, in order; with ``config="all"``, one configuration's after another's.

    Raises:
        UsageError: An argument is invalid.
        InvalidStrategyError: A strategy does not load, or returned something that the contract refuses.
        StrategyFailedError: A function of a strategy raised, hit a limit, or ended its process.
        MachineError: A single run does not fit into memory, or strategies cannot be contained as requested.
    """
    own, settings = divided(options, evaluate_many)
    pairs = _loaded([_pair(job) for job in as_list("jobs", jobs, "pairs of a strategy and a seed")])
    if not pairs:
        raise UsageError("jobs must be at least one strategy with a seed, got none")
    every = [
        Job(strategy, label, seed, {}, protocol, smoke, settings)
        for label in _labels(config)
        for strategy, seed in pairs
    ]
    return _together(every, followers, history, reuse=reuse, progress=progress, options=own)


def _together(
    jobs: Sequence[Job],
    followers: Sequence[Follower],
    history: History | str | Path | None,
    *,
    reuse: bool,
    progress: bool,
    options: Mapping[str, Any],
) -> Evaluations:
    require_bool("progress", progress)
    if progress and is_notebook():
        configs = dict.fromkeys(settings_of(job)[0] for job in jobs)
        followers = [*as_list("followers", followers, "a sequence of followers"), NotebookProgress(list(configs))]
    with Evaluator(followers=followers, history=history, reuse=reuse, **options) as evaluator:
        return evaluator.together(jobs)


def _labels(config: str | TaskConfig) -> list[str | TaskConfig]:
    return [*CONFIGURATIONS] if config == "all" else [config]


def _loaded(pairs: Sequence[tuple[str | Path | Strategy, int]]) -> list[tuple[Strategy, int]]:
    """Reads the strategies that are not loaded yet; those of one file name get distinct names."""
    files = iter(load_all([given for given, _ in pairs if not isinstance(given, Strategy)], each_once=False))
    return [(given if isinstance(given, Strategy) else next(files), seed) for given, seed in pairs]


def _pair(job: tuple[str | Path | Strategy, int]) -> tuple[str | Path | Strategy, int]:
    if not (isinstance(job, tuple | list) and len(job) == 2):
        raise UsageError(f"jobs must be pairs of a strategy and a seed, got {job!r}")
    return job
