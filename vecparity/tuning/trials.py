"""The trials of a search: asked for by the batch, evaluated in one ensemble, and told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vecparity.errors import MachineError, VecparityError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.job import Failure, Job
from vecparity.evaluation.params import params_key
from vecparity.evaluation.result import Evaluation
from vecparity.evaluator import Evaluator
from vecparity.strategy.parameters import Value
from vecparity.task.config import TaskConfig
from vecparity.tuning.following import search_followers
from vecparity.tuning.objective import objective, pairs
from vecparity.tuning.racing import is_lost, stages
from vecparity.tuning.results import Trial
from vecparity.tuning.study import Study, TrialOutcome
from vecparity.undisturbed import undisturbed

# As many trials without a score, and none with one, say that the strategy fails and not its values.
_ENOUGH_FAILURES = 10


@dataclass
class Loop:
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
        """Makes trials until there are so many, of all sittings, or until all values of the space have been tried.

        Raises:
            VecparityError: All of the first trials failed, or the machine did.
        """
        for trial in self.study.trials:
            self._report(trial)
        errors: list[VecparityError] = []
        while (finished := len(self.study.trials)) < trials and not self.study.is_exhausted:
            for follower in search_followers(self.followers):
                follower.batch(finished, trials)
            errors += self._make(self.study.ask(min(batch, trials - finished)))
            is_hopeless = len(self.study.trials) >= min(trials, _ENOUGH_FAILURES)
            if errors and is_hopeless and self.study.best() is None:
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
            # In their order, whichever workers are faster: what was told before decides what is asked for next.
            for key, outcome in zip(jobs, self.evaluator.map(jobs.values()), strict=True):
                if isinstance(outcome, Failure):
                    if isinstance(outcome.error, MachineError):
                        raise outcome.error
                    errors.append(outcome.error)
                    self._tell(by_values[key], TrialOutcome("failed", error=str(outcome.error)))
                elif stage == self.config:
                    self._tell(by_values[key], self._complete(outcome))
                elif best is not None and is_lost(pairs(outcome), best.pairs, self.config):
                    metrics = outcome.metrics
                    dropped = TrialOutcome("dropped", None, metrics.test_accuracy, metrics.mean_steps, pairs(outcome))
                    self._tell(by_values[key], dropped)
                else:
                    continue
                del live[key]
        return errors

    def _job(self, values: Mapping[str, Value], stage: TaskConfig) -> Job:
        fewer = {name: getattr(stage, name) for name in ("num_hidden_secrets", "num_orderings")}
        settings = {**self.job.settings, **(fewer if stage != self.config else {})}
        return replace(self.job, params={**self.job.params, **values}, settings=settings)

    def _complete(self, evaluation: Evaluation) -> TrialOutcome:
        metrics = evaluation.metrics
        value = objective(metrics.test_accuracy, metrics.mean_steps, self.config)
        return TrialOutcome("complete", value, metrics.test_accuracy, metrics.mean_steps, pairs(evaluation))

    def _tell(self, numbers: Sequence[int], outcome: TrialOutcome) -> None:
        for number in numbers:
            with undisturbed():  # whoever says what is kept after an interruption has heard of all of it
                self._report(self.study.tell(number, outcome))

    def _report(self, trial: Trial) -> None:
        for follower in search_followers(self.followers):
            follower.told(trial)
