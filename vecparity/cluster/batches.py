"""Divides tasks into batches for workers: large ones first, small ones in the end, so that workers end together."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from vecparity.evaluation.job import Task
from vecparity.task.config import TaskConfig

# The most runs of a batch of several jobs. More train no faster, and keep their outcomes waiting.
MOST_RUNS = 800
# The share of the work left that goes out in one round, in equal batches for all workers (factoring: Hummel, Schonberg
# and Flynn, 1992). Sizes that shrink with each batch would end in many of one job each.
_SHARE = 0.5
# What is left is one last round if it takes each worker no longer than this.
_LAST_SECONDS = 1.0
# What a run's step costs beside its features: the second layer and the update, in features of the first layer.
_FURTHER_FEATURES = 16


@dataclass
class _Measured:
    """The seconds that jobs took, and their estimated cost."""

    seconds: float = 0.0
    cost: float = 0.0

    def add(self, seconds: float, cost: float) -> None:
        self.seconds += seconds
        self.cost += cost


class Batches:
    """The tasks that no worker has yet.

    Args:
        tasks: The tasks. Those with equal settings come together, and among them those of one source and seed, which
            share networks and training sets.
        num_workers: The number of workers.
        most_runs: The most runs of a batch of several jobs.
    """

    def __init__(self, tasks: Sequence[Task], num_workers: int, most_runs: int = MOST_RUNS) -> None:
        self._num_workers, self._most_runs = num_workers, most_runs
        self._waiting: dict[TaskConfig, deque[Task]] = {}
        sharing: dict[tuple[str, int], int] = {}
        for task in tasks:
            sharing.setdefault((task.strategy.sha256, task.seeds.seed), len(sharing))
        for task in sorted(tasks, key=lambda task: sharing[task.strategy.sha256, task.seeds.seed]):
            self._waiting.setdefault(task.config, deque()).append(task)
        self._left_in_round = 0
        self._weight_in_round = 0.0
        self._measured: dict[TaskConfig, _Measured] = {}
        self._all = _Measured()

    def next(self) -> list[Task]:
        """Returns the next batch, of the settings whose jobs take longest; empty if none is left."""
        if not self._waiting:
            return []
        weights = {config: self._weight(config) for config in self._waiting}
        config = max(weights, key=lambda config: weights[config])
        if not self._left_in_round:
            fair = sum(weights[other] * len(tasks) for other, tasks in self._waiting.items()) / self._num_workers
            is_last = self._all.cost > 0 and fair <= _LAST_SECONDS  # once measured, weights are seconds
            self._left_in_round, self._weight_in_round = self._num_workers, fair if is_last else fair * _SHARE
        self._left_in_round -= 1
        count = math.ceil(self._weight_in_round / weights[config] - 1e-6)
        most = max(1, self._most_runs // config.num_runs)
        waiting = self._waiting[config]
        batch = [waiting.popleft() for _ in range(min(max(1, count), most, len(waiting)))]
        if not waiting:
            del self._waiting[config]
        return batch

    def measure(self, tasks: Sequence[Task], seconds: float) -> None:
        """Notes the seconds that a batch took."""
        if not self._all.cost:
            self._left_in_round = 0  # weights were costs
        cost = sum(cost_of(task.config) for task in tasks)
        self._measured.setdefault(tasks[0].config, _Measured()).add(seconds, cost)
        self._all.add(seconds, cost)

    def expected_seconds(self, tasks: Sequence[Task]) -> float | None:
        """Returns the seconds that a batch should take, or None before any was measured."""
        return len(tasks) * self._weight(tasks[0].config) if self._all.cost else None

    def _weight(self, config: TaskConfig) -> float:
        """Returns the seconds of one job, by batches of the same settings if there are any, or its cost at first."""
        measured = self._measured.get(config, self._all)
        rate = max(measured.seconds, 1e-9) / measured.cost if measured.cost else 1.0
        return cost_of(config) * rate


def cost_of(config: TaskConfig) -> float:
    """Estimates the cost of one job: its run-steps, by their width and features."""
    of_step = config.batch_size * config.hidden_width * (config.n_features + _FURTHER_FEATURES)
    return float(config.num_runs * config.max_steps * of_step)
