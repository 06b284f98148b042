"""Results of a session: tests, and the submission."""

from collections.abc import Mapping
from dataclasses import dataclass

from vecparity.errors import VecparityError
from vecparity.evaluation.job import Outcome
from vecparity.evaluation.result import Evaluation
from vecparity.strategy.source import Strategy


@dataclass(frozen=True)
class Scored:
    """A version of the file, with the outcome of each configuration that it was evaluated on.

    Attributes:
        number: The test's number, from 1.
        strategy: The file's text as it was then.
        outcomes: An evaluation, or a failure that says why there is no score, by configuration.
    """

    number: int
    strategy: Strategy
    outcomes: Mapping[str, Outcome]

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """Evaluations with a score, by configuration."""
        return {label: outcome for label, outcome in self.outcomes.items() if isinstance(outcome, Evaluation)}

    @property
    def errors(self) -> dict[str, VecparityError]:
        """Reasons for missing scores, by configuration."""
        return {label: own.error for label, own in self.outcomes.items() if not isinstance(own, Evaluation)}

    @property
    def accuracy(self) -> float | None:
        """Mean test accuracy over the configurations; None if one of them has no score."""
        return None if self.errors else _mean([own.metrics.test_accuracy for own in self.evaluations.values()])

    @property
    def mean_steps(self) -> float | None:
        """Mean steps over the configurations; None if one of them has no score."""
        return None if self.errors else _mean([own.metrics.mean_steps for own in self.evaluations.values()])


@dataclass(frozen=True)
class Submission(Scored):
    """The scored version of a test's file.

    Attributes:
        is_sealed: True if nobody could know the secrets. If not, they are public ones, and audits were strict.
    """

    is_sealed: bool


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
