"""The runs of an evaluation, made from a strategy and a seed: all that training needs, and nothing callable."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from vecparity import spec, strategy
from vecparity.data import Dataset, make_test_set
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


def make_runs(jobs: Sequence[tuple[Strategy, int]], config: TaskConfig, init_device: torch.device) -> list[Run]:
    """Calls the strategies for everything they are asked, and gathers the runs, ordered by (job, secret, ordering).

    Every network is initialised before any secret is shown to a strategy, so that no initialisation can know one.

    Args:
        jobs: Strategies with the top-level seeds to evaluate them under.
        config: The settings, shared by all jobs.
        init_device: Where ``init_model`` draws; the CPU unless the original's CUDA draws are wanted.

    Raises:
        StrategyFailedError: A function of a strategy raised.
        InvalidStrategyError: It returned what the contract refuses.
    """
    initial = {
        (job, i, j): strategy.initialise(chosen, config, spec.run_seed(seed, i, j), init_device)
        for job, (chosen, seed) in enumerate(jobs)
        for i in range(config.num_hidden_secrets)
        for j in range(config.num_orderings)
    }
    runs = []
    for job, (chosen, seed) in enumerate(jobs):
        for i, secret in enumerate(spec.secrets(config, seed)):
            dataset = strategy.training_set(chosen, config, secret, spec.dataset_seed(seed, i))
            test_set = make_test_set(config, secret, seed, i)
            for j in range(config.num_orderings):
                params, optimizer = initial[job, i, j]
                ordering_seed = spec.ordering_seed(seed, i, j)
                runs.append(Run(job, i, j, params, optimizer, dataset, test_set, ordering_seed))
    return runs
