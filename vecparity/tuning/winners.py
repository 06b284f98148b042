"""Winners: the best trials of a search, evaluated anew on secrets that the search has not seen.

The best of many trials is best by luck, too, and its strategy may have been fitted to the search's secrets. Its figure
in the search says little; these do.
"""

from collections.abc import Mapping, Sequence
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
        job: A job of the search; its strategy and its parameters' values are replaced.
        fixed: Values of parameters that the search did not vary.
        options: The search's options; without a key of theirs, one is drawn, and not kept.
        history: The history to record the evaluations in, if any.
        followers: Objects to notify of the progress.
    """

    job: Job
    fixed: Mapping[str, Value]
    options: Options
    history: History | str | Path | None
    followers: Sequence[Follower]

    @property
    def configs(self) -> list[Job]:
        """The jobs' settings: all of the benchmark's configurations, unless the search was on another."""
        own = self.job
        is_labelled = isinstance(own.config, str) and not {"n_features", "secret_size"} & own.settings.keys()
        return [replace(own, config=label) for label in CONFIGURATIONS] if is_labelled else [own]

    def evaluate(self, trials: Sequence[Trial]) -> list[Winner]:
        """Evaluates trials, and returns them with the best first.

        Under a fresh seal, where the machine's containment can keep a key from strategies; else under another public
        seed, audited.

        Raises:
            MachineError: The machine failed; a strategy's failure is its winner's error.
        """
        if not trials:
            return []
        options, seed = self._secrecy()
        strategies = [self._with_defaults(trial) for trial in trials]
        jobs = [replace(config, strategy=own, params={}, seed=seed) for config in self.configs for own in strategies]
        evaluations: list[list[Evaluation]] = [[] for _ in trials]
        errors: list[dict[str, VecparityError]] = [{} for _ in trials]
        with Evaluator(followers=self.followers, history=self.history, **vars(options)) as evaluator:
            for index, outcome in enumerate(evaluator.map(jobs)):
                place = index % len(trials)
                if not isinstance(outcome, Failure):
                    evaluations[place].append(outcome)
                elif isinstance(outcome.error, MachineError):
                    raise outcome.error
                else:
                    errors[place][str(jobs[index].config)] = outcome.error
        found = zip(trials, strategies, evaluations, errors, strict=True)
        return sorted((Winner(*each) for each in found), key=_rank)

    def _secrecy(self) -> tuple[Options, int]:
        """Returns options and a seed for secrets that nobody has seen, or at least not the search."""
        own = self.options
        needs_cuda = own.init_device == "cuda"
        try:
            levels.choose(own.containment, own.require_containment, needs_cuda=needs_cuda, is_sealed=True)
        except UsageError:
            if own.seal_key is not None:
                raise
            return own, next(seed for seed in range(self.job.seed + 1, self.job.seed + 3) if seed != RANKED_SEED)
        return replace(own, seal_key=own.seal_key or new_key()), RANKED_SEED

    def _with_defaults(self, trial: Trial) -> Strategy:
        own = self.job.strategy
        assert isinstance(own, Strategy)
        return with_defaults(own, {**self.fixed, **trial.params})


def _rank(winner: Winner) -> tuple[float, ...]:
    """Returns a key that is least for the best: all configurations scored, accuracy, steps, and the search's order."""
    metrics = [evaluation.metrics for evaluation in winner.evaluations]
    if winner.errors or not metrics:
        return (1, -len(metrics), 0, winner.trial.number)
    accuracy = sum(own.test_accuracy for own in metrics) / len(metrics)
    return (0, -accuracy, sum(own.mean_steps for own in metrics) / len(metrics), winner.trial.number)
