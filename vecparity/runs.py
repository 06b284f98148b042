"""The runs of an evaluation, made from a strategy and a seed: all that training needs, and nothing callable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float32
from torch import Tensor

from vecparity import spec
from vecparity.data import Dataset, make_test_set
from vecparity.spec import OptimizerConfig, Secret, TaskConfig


@dataclass(frozen=True)
class Run:
    """One network to train: one (secret, ordering) pair of one evaluation.

    Attributes:
        evaluation: Index of the evaluation that the run belongs to, among those trained together.
        secret_index: i, from 0.
        order_index: j, from 0.
        params: Initial parameters, flat, on the CPU.
        optimizer: The run's own hyperparameters.
        dataset: The secret's training set, shared by its orderings.
        test_set: The secret's test set, shared likewise.
        ordering_seed: Seeds the generator of the epoch permutations.
    """

    evaluation: int
    secret_index: int
    order_index: int
    params: Float32[Tensor, " param"]
    optimizer: OptimizerConfig
    dataset: Dataset
    test_set: Dataset
    ordering_seed: int

    @property
    def name(self) -> str:
        return f"secret={self.secret_index} order={self.order_index}"


Initial = tuple[Float32[Tensor, " param"], OptimizerConfig]


@runtime_checkable
class Author(Protocol):
    """Who answers for a strategy: a sandbox, or, where there is nothing to fear, its functions themselves."""

    def initialise(self, config: TaskConfig, run_seeds: Sequence[int]) -> Sequence[Initial]:
        """Returns the initial parameters and the hyperparameters of one run for each seed."""
        ...

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> Dataset:
        """Returns one secret's training set."""
        ...


def initialise(jobs: Sequence[tuple[Author, int]], config: TaskConfig) -> list[Sequence[Initial]]:
    """Asks for the initial networks and hyperparameters of every job, each job's ordered by (secret, ordering).

    To be done for all configurations before `make_runs` for any: no initialisation can know a secret then.
    """
    secrets, orderings = range(config.num_hidden_secrets), range(config.num_orderings)
    return [
        author.initialise(config, [spec.run_seed(seed, i, j) for i in secrets for j in orderings])
        for author, seed in jobs
    ]


def make_runs(
    jobs: Sequence[tuple[Author, int]], config: TaskConfig, initial: Sequence[Sequence[Initial]] | None = None
) -> list[Run]:
    """Asks for the training sets, and gathers the runs, ordered by (job, secret, ordering).

    Args:
        jobs: Strategies with the top-level seeds to evaluate them under.
        config: The settings, shared by all jobs.
        initial: What `initialise` returned; by default it is asked now.
    """
    initial = initialise(jobs, config) if initial is None else initial
    runs = []
    for job, (author, seed) in enumerate(jobs):
        for i, secret in enumerate(spec.secrets(config, seed)):
            dataset = author.training_set(config, secret, spec.dataset_seed(seed, i))
            test_set = make_test_set(config, secret, seed, i)
            for j in range(config.num_orderings):
                params, optimizer = initial[job][i * config.num_orderings + j]
                ordering_seed = spec.ordering_seed(seed, i, j)
                runs.append(Run(job, i, j, params, optimizer, dataset, test_set, ordering_seed))
    return runs
