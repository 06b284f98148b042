"""The runs of an evaluation, made from a strategy and seeds: all that training needs, and nothing callable."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float32
from torch import Tensor

from vecparity import strategy
from vecparity.data import Dataset, make_test_set
from vecparity.seeds import Seeds
from vecparity.spec import OptimizerConfig, TaskConfig
from vecparity.strategy import Strategy


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


def make_runs(
    jobs: Sequence[tuple[Strategy, Seeds]],
    config: TaskConfig,
    init_device: torch.device,
    num_orderings: int | None = None,
) -> list[Run]:
    """Calls the strategies for everything they are asked, and gathers the runs, ordered by (job, secret, ordering).

    Every network is initialised before any secret is shown to a strategy, so that no initialisation can know one.

    Args:
        jobs: Strategies with where their evaluations' random numbers come from.
        config: The settings, shared by all jobs.
        init_device: Where ``init_model`` draws; the CPU unless the original's CUDA draws are wanted.
        num_orderings: Runs per secret where an audit needs more than the settings say. Those beyond the settings'
            are initialised after all others, whom they leave as they would be without.

    Raises:
        StrategyFailedError: A function of a strategy raised.
        InvalidStrategyError: It returned what the contract refuses.
    """
    orderings = range(num_orderings or config.num_orderings)
    places = product(range(len(jobs)), range(config.num_hidden_secrets), orderings)
    initial = {}
    for job, i, j in sorted(places, key=lambda place: place[2] >= config.num_orderings):
        chosen, seeds = jobs[job]
        initial[job, i, j] = strategy.initialise(chosen, config, seeds.run_seed(config, i, j), init_device)
    runs = []
    for job, (chosen, seeds) in enumerate(jobs):
        for i, secret in enumerate(seeds.secrets(config)):
            dataset = strategy.training_set(chosen, config, secret, seeds.dataset_seed(config, i))
            test_set = make_test_set(config, secret, seeds.test_set_seed(config, i))
            for j in orderings:
                params, optimizer = initial[job, i, j]
                ordering_seed = seeds.ordering_seed(config, i, j)
                runs.append(Run(job, i, j, params, optimizer, dataset, test_set, ordering_seed))
    return runs
