"""Search: looks for the values of a strategy's parameters that do best, many trials in one ensemble."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Unpack

from vecparity.errors import UsageError, brief
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.job import Job, settings_of
from vecparity.evaluation.keywords import EvaluationKeywords, divided, shows
from vecparity.evaluation.options import Options
from vecparity.evaluator import Evaluator, as_list, require_bool
from vecparity.files import to_path
from vecparity.history.store import History
from vecparity.progress.notebook import is_notebook
from vecparity.strategy.parameters import Value, resolve
from vecparity.strategy.source import Strategy, load
from vecparity.strategy.space import Choice, Range
from vecparity.task.config import Protocol, TaskConfig
from vecparity.task.seeds import check_seed
from vecparity.tuning.following import search_followers
from vecparity.tuning.ranges import resolve_space
from vecparity.tuning.results import Search
from vecparity.tuning.sampling import SamplerName, make_sampler, require_optuna
from vecparity.tuning.search_progress import NotebookSearch
from vecparity.tuning.study import Study
from vecparity.tuning.trials import Loop
from vecparity.tuning.tunable import tunable
from vecparity.tuning.winners import RANKED_SEED, Rescoring, secrecy

# Options that have no meaning for trials, with the reason.
_NOT_FOR_TRIALS = {
    "checkpoint": "a study keeps finished trials",
    "checkpoint_if_possible": "a study keeps finished trials",
    "resume": "the same study goes on by itself",
    "draw": "trials share the search's public seed, and each winner has a draw of its own",
    "same_draw": "trials share the search's public seed, and each winner has a draw of its own",
}


@shows(EvaluationKeywords)
def search(
    strategy: str | Path | Strategy,
    space: Mapping[str, Range | Choice] = MappingProxyType({}),
    config: str | TaskConfig = "n32-k8",
    *,
    trials: int = 100,
    batch: int = 16,
    sampler: SamplerName = "tpe",
    seed: int = 1,
    params: Mapping[str, Value] = MappingProxyType({}),
    protocol: Protocol = "published",
    smoke: bool = False,
    race: bool = False,
    rescore: int = 5,
    study: str | Path | None = None,
    followers: Sequence[Follower] = (),
    history: History | str | Path | None = None,
    progress: bool = True,
    executor: Executor | None = None,
    **options: Unpack[EvaluationKeywords],
) -> Search:
    """Looks for the values of a strategy's parameters that reach the highest accuracy, then in the fewest steps.

    All trials have the same secrets, orderings and seeds, so that they differ by their values alone. Each is bitwise
    what `evaluate` gives with the same ``params`` and ``seed``. The first has the strategy's own defaults, as far as
    they are literals within the ranges. Trials are not audited, and no scores: the best are evaluated anew, on secrets
    that the search has not seen.

    Args:
        strategy: The name of a bundled strategy, a file, or a loaded strategy.
        space: Ranges of parameters, by name, in place of those in the strategy's signatures or beside them.
        config: A label (``n32-k8``, ``n50-k8``, ``n64-k8``), or settings, used unchanged.
        trials: The number of finished trials that there shall be, with those of earlier sittings of the study.
        batch: The number of trials that train together. Fewer learn more from each other, and take longer.
        sampler: ``tpe``, ``cmaes``, ``gp`` or ``random``, see Optuna.
        seed: The top-level seed of all trials, and the sampler's: the same search makes the same trials. Not 42, whose
            secrets are those of the benchmark.
        params: Values of parameters that are not to vary.
        protocol: ``full`` or ``published``; only with a label.
        smoke: The short settings on top of the protocol; only with a label.
        race: Begin each trial with a few of its runs, and drop it when these are worse than the best trial's same runs
            (Wilcoxon's test at 0.1).
        rescore: The number of the best trials that are evaluated anew: all runs of the protocol, on all three
            configurations if ``config`` is a label, under a fresh seal if the containment can keep its key secret, else
            under another seed.
        study: A SQLite file that keeps the trials, new or of an earlier sitting, which goes on; Optuna's dashboard
            opens it. Use files of your own only: with ``cmaes``, they hold pickles.
        followers: Objects to notify of the progress (`SearchFollower`, or any `Follower` of evaluations).
        history: The history to record the winners in, if any.
        progress: Show the progress in a notebook, under the cell.
        executor: See `Evaluator`.
        **options: Fields of `Options` and of `TaskConfig`, by name. A ``seal_key`` is that of the winners.

    Raises:
        UsageError: An argument is invalid, Optuna is not installed, or the study is of another search or in use.
        InvalidStrategyError: The strategy does not load, or all first trials returned something that is refused.
        StrategyFailedError: All first trials failed.
        DivergedError: All first trials diverged.
        MachineError: The machine failed; finished trials are kept in the study.
    """
    began = time.perf_counter()
    require_optuna()
    own, settings = divided(options, search)
    for name in own.keys() & _NOT_FOR_TRIALS.keys():
        raise UsageError(f"a search has no {name}: {_NOT_FOR_TRIALS[name]}")
    for name, count, least in (("trials", trials, 1), ("batch", batch, 1), ("rescore", rescore, 0)):
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise UsageError(f"{name} must be a whole number of at least {least}, got {count!r}")
    require_bool("race", race)
    require_bool("progress", progress)
    check_seed(seed)
    _require_values(space, params)
    if seed == RANKED_SEED:
        raise UsageError(
            f"a search must not see the secrets of seed {RANKED_SEED}, on which strategies are ranked: "
            f"expected another seed, got {RANKED_SEED}"
        )
    loaded = strategy if isinstance(strategy, Strategy) else load(strategy)
    job = Job(loaded, config, seed, params, protocol, smoke, settings)
    task_config, protocol_words = settings_of(job)
    told = as_list("followers", followers, "a sequence of followers")
    if progress and is_notebook():
        told.append(NotebookSearch(f"{loaded.name}, {task_config.label}, protocol {protocol_words}, seed {seed}"))
    every = Options(**own)
    sealed, seed_of_winners = secrecy(every, seed)
    for_trials = {**vars(every), "seal_key": None, "audit": every.audit or "off"}
    with Evaluator(followers=told, executor=executor, **for_trials) as evaluator:
        declared = evaluator.space(loaded)
        varied = tunable(job, [*space, *params], evaluator.optimizer_config)
        job = replace(job, strategy=varied)
        ranges = resolve_space(varied, declared, space, params)
        make_sampler(sampler, ranges, 0)  # it may suit no such space
        identity = {
            "strategy": varied.sha256,
            "seed": seed,
            "protocol": protocol_words,
            **asdict(task_config),
            "space": {name: repr(given) for name, given in ranges.items()},
            "params": dict(params),
            "race": race,
        }
        with Study(None if study is None else to_path(study, "study"), identity, ranges, sampler, seed) as kept:
            kept.first(resolve(varied, params).values)
            Loop(kept, evaluator, job, task_config, told, race=race).run(trials, batch)
            best, finished, importances = kept.ranked(rescore), kept.trials, kept.importances()
    found = Search(
        strategy=varied,
        config=task_config,
        protocol=protocol_words,
        seed=seed,
        space=ranges,
        sampler=sampler,
        trials=finished,
        winners=[],
        importances=importances,
        seconds=time.perf_counter() - began,
        params=dict(params),
    )
    for follower in search_followers(told):
        follower.rescoring(found, len(best))
    winners = Rescoring(job, sealed, seed_of_winners, history, told, executor).evaluate(best)
    return replace(found, winners=winners, seconds=time.perf_counter() - began)


def _require_values(space: object, params: object) -> None:
    for name, given, kind in (("space", space, Range | Choice), ("params", params, bool | int | float | str)):
        if not isinstance(given, Mapping) or not all(isinstance(value, kind) for value in given.values()):
            expected = "names to Range or Choice" if name == "space" else "names to values"
            raise UsageError(f"{name} must be a mapping from {expected}, got {brief(given)}")
