"""Search: looks for the values of a strategy's parameters that do best, many trials in one ensemble."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

from vecparity.errors import MachineError, UsageError, VecparityError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.job import Failure, Job, settings_of
from vecparity.evaluation.keywords import EvaluationKeywords, divided, shows
from vecparity.evaluation.options import Options
from vecparity.evaluation.params import params_key
from vecparity.evaluation.result import Evaluation
from vecparity.evaluator import Evaluator, as_list, require_bool
from vecparity.files import to_path
from vecparity.history.store import History
from vecparity.strategy.parameters import Value, resolve
from vecparity.strategy.source import Strategy, load
from vecparity.strategy.space import Choice, Range, Space
from vecparity.task.config import Protocol, TaskConfig
from vecparity.tuning.following import SearchFollower
from vecparity.tuning.objective import objective, pairs
from vecparity.tuning.racing import is_lost, stages
from vecparity.tuning.ranges import resolve_space
from vecparity.tuning.results import Search, Trial
from vecparity.tuning.sampling import SamplerName, make_sampler, require_optuna
from vecparity.tuning.study import Outcome, Study
from vecparity.tuning.winners import RANKED_SEED, Rescoring

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
    **options: Unpack[EvaluationKeywords],
) -> Search:
    """Looks for the values of a strategy's parameters that reach the highest accuracy, then in the fewest steps.

    All trials have the same secrets, orderings and seeds, so that they differ by their values alone. Each is bitwise
    what `evaluate` gives with the same ``params`` and ``seed``. The first is the strategy as it is. Trials are not
    audited, and no scores: the best are evaluated anew, on secrets that the search has not seen.

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
    if seed == RANKED_SEED:
        raise UsageError(
            f"a search must not see the secrets of seed {RANKED_SEED}, on which strategies are ranked: "
            f"expected another seed, got {RANKED_SEED}"
        )
    loaded = strategy if isinstance(strategy, Strategy) else load(strategy)
    job = Job(loaded, config, seed, params, protocol, smoke, settings)
    task_config, protocol_words = settings_of(job)
    told = as_list("followers", followers, "a sequence of followers")
    every = Options(**own)
    rescoring = Rescoring(job, every, history, told)
    with Evaluator(followers=told, **{**vars(every), "seal_key": None, "audit": every.audit or "off"}) as evaluator:
        ranges = resolve_space(loaded, evaluator.space(loaded), space, params)
        make_sampler(sampler, ranges, seed)  # it may suit no such space
        identity = _identity(job, task_config, protocol_words, ranges, race=race)
        with Study(None if study is None else to_path(study, "study"), identity, ranges, sampler, seed) as kept:
            kept.first(resolve(loaded, params).values)
            loop = _Loop(kept, evaluator, job, task_config, told, race=race)
            loop.run(trials, batch)
            best, finished, importances = kept.ranked(rescore), kept.trials, kept.importances()
    for follower in _search_followers(told):
        follower.rescoring(len(best))
    winners = rescoring.evaluate(best)
    return Search(
        strategy=loaded,
        config=task_config,
        protocol=protocol_words,
        seed=seed,
        space=ranges,
        sampler=sampler,
        trials=finished,
        winners=winners,
        importances=importances,
        seconds=time.perf_counter() - began,
        params=dict(params),
    )


@dataclass
class _Loop:
    """Asks for trials, evaluates them, and tells what came of them.

    Attributes:
        study: The trials.
        evaluator: Evaluates them.
        job: The job of every trial, without the values that vary.
        config: The settings of every trial.
        followers: Objects to notify of the progress.
        race: Whether trials begin with a few of their runs.
    """

    study: Study
    evaluator: Evaluator
    job: Job
    config: TaskConfig
    followers: Sequence[Follower]
    race: bool = field(kw_only=True)

    def run(self, trials: int, batch: int) -> None:
        """Makes trials until there are so many, of all sittings.

        Raises:
            VecparityError: All trials of the first batch failed, or the machine did.
        """
        for trial in self.study.trials:
            self._note(trial)
        while (finished := len(self.study.trials)) < trials:
            for follower in _search_followers(self.followers):
                follower.asking(finished, trials)
            errors = self._make(self.study.ask(min(batch, trials - finished)))
            if errors and self.study.best() is None and not finished:
                raise errors[0]

    def _make(self, asked: Sequence[tuple[int, dict[str, Value]]]) -> list[VecparityError]:
        """Makes the trials of one batch, those with the same values once; returns the errors of those that failed."""
        known, best = self.study.known(), self.study.best()
        by_values: dict[str, list[int]] = {}
        live: dict[str, dict[str, Value]] = {}
        for number, values in asked:
            key = params_key(values)
            by_values.setdefault(key, []).append(number)
            if key in known:
                self._tell([by_values[key].pop()], known[key])
            else:
                live[key] = values
        errors = []
        for stage in stages(self.config) if self.race and best is not None else [self.config]:
            jobs = {key: self._job(values, stage) for key, values in live.items()}
            keys = {id(job): key for key, job in jobs.items()}
            for job, outcome in self.evaluator.as_completed(jobs.values()):
                key = keys[id(job)]
                if isinstance(outcome, Failure):
                    if isinstance(outcome.error, MachineError):
                        raise outcome.error
                    errors.append(outcome.error)
                    self._tell(by_values[key], Outcome("failed", error=str(outcome.error)))
                elif stage == self.config:
                    self._tell(by_values[key], self._complete(outcome))
                elif best is not None and is_lost(pairs(outcome), best.pairs, self.config):
                    metrics = outcome.metrics
                    dropped = Outcome("dropped", None, metrics.test_accuracy, metrics.mean_steps, pairs(outcome))
                    self._tell(by_values[key], dropped)
                else:
                    continue
                del live[key]
        return errors

    def _job(self, values: Mapping[str, Value], stage: TaskConfig) -> Job:
        fewer = {name: getattr(stage, name) for name in ("num_hidden_secrets", "num_orderings")}
        settings = {**self.job.settings, **(fewer if stage != self.config else {})}
        return replace(self.job, params={**self.job.params, **values}, settings=settings)

    def _complete(self, evaluation: Evaluation) -> Outcome:
        metrics = evaluation.metrics
        value = objective(metrics.test_accuracy, metrics.mean_steps, self.config)
        return Outcome("complete", value, metrics.test_accuracy, metrics.mean_steps, pairs(evaluation))

    def _tell(self, numbers: Sequence[int], outcome: Outcome) -> None:
        for number in numbers:
            self._note(self.study.tell(number, outcome))

    def _note(self, trial: Trial) -> None:
        for follower in _search_followers(self.followers):
            follower.told(trial)


def _search_followers(followers: Sequence[Follower]) -> list[SearchFollower]:
    return [follower for follower in followers if isinstance(follower, SearchFollower)]


def _identity(job: Job, config: TaskConfig, protocol: str, space: Space, *, race: bool) -> dict[str, Any]:
    """Returns everything that decides what a trial's figures mean, as plain values by name."""
    assert isinstance(job.strategy, Strategy)
    return {
        "strategy": job.strategy.sha256,
        "seed": job.seed,
        "protocol": protocol,
        **asdict(config),
        "space": {name: str(given) for name, given in space.items()},
        "params": dict(job.params),
        "race": race,
    }
