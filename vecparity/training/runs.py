"""The runs of an evaluation, made from a strategy and a seed, as plain data without anything callable."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Protocol, runtime_checkable

from jaxtyping import Float32
from torch import Tensor

from vecparity.task.config import OptimizerConfig, Secret, TaskConfig
from vecparity.task.dataset import Dataset, make_test_set
from vecparity.task.seeds import Seeds

# The evaluation index of runs that train for an audit.
NO_EVALUATION = -1


@dataclass(frozen=True)
class Run:
    """One network to train: one (secret, ordering) pair of one evaluation.

    Attributes:
        evaluation: Index of the run's evaluation among those trained together.
        secret_index: i, from 0.
        order_index: j, from 0.
        params: Initial parameters, flat, on the CPU.
        optimizer: The run's own hyperparameters.
        dataset: The secret's training set, shared by its orderings.
        test_set: The secret's test set, also shared by its orderings.
        ordering_seed: Seed of the generator of epoch permutations.
        fresh_test_set: New rows of the secret for an audit to test the trained network on, or None.
    """

    evaluation: int
    secret_index: int
    order_index: int
    params: Float32[Tensor, " param"]
    optimizer: OptimizerConfig
    dataset: Dataset
    test_set: Dataset
    ordering_seed: int
    fresh_test_set: Dataset | None = None

    @property
    def name(self) -> str:
        return f"secret={self.secret_index} order={self.order_index}"


Initial = tuple[Float32[Tensor, " param"], OptimizerConfig]


@runtime_checkable
class Author(Protocol):
    """The caller of a strategy's functions: a sandbox or, for trusted strategies, the functions themselves."""

    def initialise(self, config: TaskConfig, run_seeds: Sequence[int]) -> Sequence[Initial]:
        """Returns the initial parameters and the hyperparameters of one run for each seed."""
        ...

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> Dataset:
        """Returns one secret's training set."""
        ...


def initialise(
    jobs: Sequence[tuple[Author, Seeds]], config: TaskConfig, num_orderings: int | None = None
) -> dict[tuple[int, int, int], Initial]:
    """Gets initial networks and hyperparameters; call before `make_runs` for any configuration.

    In this order no initialisation can know a secret. One worker initialises the networks of a job, in the order that
    the seeds say (`Seeds.call_order`). Arguments are those of `make_runs`.

    Returns:
        The initial parameters and hyperparameters of each (job, secret, ordering).
    """
    num_orderings = num_orderings or config.num_orderings
    initial: dict[tuple[int, int, int], Initial] = {}
    for job, (author, seeds) in enumerate(jobs):
        # Two calls, so that the evaluation's own runs begin the same with or without extra runs for an audit.
        num_own = min(num_orderings, config.num_orderings)
        for orderings in (range(num_own), range(num_own, num_orderings)):
            places = list(product(range(config.num_hidden_secrets), orderings))
            places = [places[call] for call in seeds.call_order(config, len(places))]
            if places:
                initials = author.initialise(config, [seeds.run_seed(config, i, j) for i, j in places])
                initial |= {(job, i, j): begins for (i, j), begins in zip(places, initials, strict=True)}
    return initial


def make_runs(
    jobs: Sequence[tuple[Author, Seeds]],
    config: TaskConfig,
    num_orderings: int | None = None,
    initial: Mapping[tuple[int, int, int], Initial] | None = None,
) -> list[Run]:
    """Gets the training sets and builds the runs, ordered by (job, secret, ordering).

    Args:
        jobs: Strategies, each with the seeds of its evaluation.
        config: The settings, shared by all jobs.
        num_orderings: Runs per secret, if an audit needs more or fewer than the settings say.
        initial: The result of `initialise`; by default, calls `initialise` now.
    """
    initial = initialise(jobs, config, num_orderings) if initial is None else initial
    runs = []
    places = [(job, i, secret) for job, (_, seeds) in enumerate(jobs) for i, secret in enumerate(seeds.secrets(config))]

    def test_set_of(place: tuple[int, int, Secret]) -> Dataset:
        job, i, secret = place
        return make_test_set(config, secret, jobs[job][1].test_set_seed(config, i))

    background = ThreadPoolExecutor(1, "test sets")
    try:
        test_sets = background.map(test_set_of, places)  # while authors work in their own processes
        for job, i, secret in places:
            author, seeds = jobs[job]
            dataset = author.training_set(config, secret, seeds.dataset_seed(config, i))
            test_set = next(test_sets)
            for j in range(num_orderings or config.num_orderings):
                params, optimizer = initial[job, i, j]
                ordering_seed = seeds.ordering_seed(config, i, j)
                runs.append(Run(job, i, j, params, optimizer, dataset, test_set, ordering_seed))
    finally:
        background.shutdown(cancel_futures=True)
    return runs
