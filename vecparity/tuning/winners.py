"""Winners: the best trials of a search, evaluated anew on secrets that the search has not seen.

The best of many trials is best by luck, too, and its strategy may have been fitted to the search's secrets. Its figure
in the search says little; these do.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from vecparity.errors import MachineError, UsageError, VecparityError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.job import Failure, Job
from vecparity.evaluation.options import Options
from vecparity.evaluation.result import Evaluation
from vecparity.evaluator import Evaluator
from vecparity.history.store import History
from vecparity.sandbox import levels
from vecparity.sandbox.levels import Containment, Level
from vecparity.strategy.parameters import Value
from vecparity.strategy.rewriting import with_defaults
from vecparity.strategy.source import Strategy
from vecparity.task.config import CONFIGURATIONS
from vecparity.task.seeds import new_key
from vecparity.tuning.results import Trial, Winner

# The seed on which strategies are ranked, which a search must not see; under a seal, it says nothing about secrets.
RANKED_SEED = 42


@dataclass(frozen=True)
class Rescoring:
    """The way in which winners are evaluated.

    Attributes:
        job: The job of every trial, without the values that varied.
        options: Options with a key, or else without seal, see `secrecy`.
        seed: The top-level seed.
        history: The history to record the evaluations in, if any.
        followers: Objects to notify of the progress.
        executor: See `Evaluator`.
    """

    job: Job
    options: Options
    seed: int
    history: History | str | Path | None
    followers: Sequence[Follower]
    executor: Executor | None

    @property
    def configs(self) -> list[Job]:
        """The jobs' settings: all of the benchmark's configurations, unless the search was on another."""
        own = self.job
        is_labelled = isinstance(own.config, str) and not {"n_features", "secret_size"} & own.settings.keys()
        return [replace(own, config=label) for label in CONFIGURATIONS] if is_labelled else [own]

    def evaluate(self, trials: Sequence[Trial]) -> list[Winner]:
        """Evaluates trials, and returns them with the best first.

        Raises:
            MachineError: The machine failed; a strategy's failure is its winner's error.
        """
        if not trials:
            return []
        answers = [self._with_values(trial) for trial in trials]
        jobs = [
            replace(config, strategy=own, params=values, seed=self.seed)
            for config in self.configs
            for own, values in answers
        ]
        evaluations: list[list[Evaluation]] = [[] for _ in trials]
        errors: list[dict[str, VecparityError]] = [{} for _ in trials]
        kept = Evaluator(followers=self.followers, history=self.history, executor=self.executor, **vars(self.options))
        with kept as evaluator:
            for index, outcome in enumerate(evaluator.map(jobs)):
                place = index % len(trials)
                if not isinstance(outcome, Failure):
                    evaluations[place].append(outcome)
                elif isinstance(outcome.error, MachineError):
                    raise outcome.error
                else:
                    errors[place][str(jobs[index].config)] = outcome.error
        found = zip(trials, answers, evaluations, errors, strict=True)
        return sorted((Winner(trial, own, good, bad) for trial, (own, _), good, bad in found), key=_rank)

    def _with_values(self, trial: Trial) -> tuple[Strategy, Mapping[str, Value]]:
        """Returns the strategy with a trial's values as its defaults; if it has no source, the values beside it."""
        own, values = self.job.strategy, {**self.job.params, **trial.params}
        assert isinstance(own, Strategy)
        return (own, values) if own.origin == "pickle" else (with_defaults(own, values), {})


def secrecy(options: Options, seed: int) -> tuple[Options, int]:
    """Returns options and a top-level seed for winners, whose secrets nobody has seen, or at least not the search.

    That is a fresh seal, where the machine's containment can keep a key from strategies; else another public seed, with
    audits. Without a key in the options, one is drawn, and not kept.

    Args:
        options: The search's options.
        seed: The search's seed.

    Raises:
        UsageError: The options have a key, and the containment cannot keep it.
    """
    if options.seal_key is not None:
        needs_cuda = options.init_device == "cuda"
        levels.choose(options.containment, options.require_containment, needs_cuda=needs_cuda, is_sealed=True)
        return options, RANKED_SEED
    if can_seal(options.containment, options.require_containment, options.init_device):
        return replace(options, seal_key=new_key()), RANKED_SEED
    return options, next(other for other in range(seed + 1, seed + 3) if other != RANKED_SEED)


def can_seal(containment: Containment, require_containment: Level | None, init_device: str = "cpu") -> bool:
    """Tells whether the containment that `Options` of these fields would have can keep a key from strategies."""
    try:
        levels.choose(containment, require_containment, needs_cuda=init_device == "cuda", is_sealed=True)
    except UsageError:
        return False
    return True


def _rank(winner: Winner) -> tuple[float, ...]:
    """Returns a key that is least for the best: most configurations with a score, then accuracy, then fewest steps."""
    metrics = [evaluation.metrics for evaluation in winner.evaluations]
    if not metrics:
        return len(winner.errors), 0, 0, winner.trial.number
    accuracy = sum(own.test_accuracy for own in metrics) / len(metrics)
    mean_steps = sum(own.mean_steps for own in metrics) / len(metrics)
    return len(winner.errors), -accuracy, mean_steps, winner.trial.number
