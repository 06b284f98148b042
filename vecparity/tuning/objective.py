"""The number that a search makes as large as it can: accuracy first, and fewer steps among equals.

Most good trials tie at an accuracy of 1. The steps, as a share of the most that there can be, are weighted by less than
the smallest difference between two accuracies, so that they decide between equals only.
"""

from dataclasses import dataclass

from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig


@dataclass(frozen=True)
class Pair:
    """One run's result, by its secret and ordering, both from 0."""

    secret_index: int
    order_index: int
    accuracy: float
    steps: int


def pairs(evaluation: Evaluation) -> list[Pair]:
    """Returns the results of an evaluation's runs."""
    return [Pair(run.secret_index, run.order_index, run.test_accuracy, run.steps) for run in evaluation.results]


def objective(accuracy: float, steps: float, config: TaskConfig) -> float:
    """Returns the objective of a mean accuracy and a mean number of steps over all runs of a configuration."""
    return _objective(accuracy, steps, config, config.num_runs)


def objective_of_pair(pair: Pair, config: TaskConfig) -> float:
    """Returns the objective of a single run."""
    return _objective(pair.accuracy, pair.steps, config, 1)


def _objective(accuracy: float, steps: float, config: TaskConfig, num_runs: int) -> float:
    least_difference = 1 / (config.test_set_size * num_runs)
    return accuracy - least_difference / 2 * steps / config.max_steps
