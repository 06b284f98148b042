"""Calls a strategy as an evaluation does, and repeats the quick calls."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from vecparity.evaluation.preparation import called_again
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.task.network import build_network, flatten
from vecparity.task.seeds import Seeds
from vecparity.training.runs import Author, Initial, initialise

# Calls that take longer are not repeated.
_MOST_SECONDS_AGAIN = 0.25


@dataclass(frozen=True)
class Repeatability:
    """Calls that were made twice under the same seed.

    Attributes:
        calls: Number of repeated calls; a run's ``init_model`` and ``get_optimizer_config`` count as one each.
        differing: Names of the calls that returned something else the second time.
        left_out: Names of the calls that took too long to be repeated.
    """

    calls: int
    differing: list[str]
    left_out: list[str]

    def __add__(self, other: "Repeatability") -> "Repeatability":
        return Repeatability(self.calls + other.calls, self.differing + other.differing, self.left_out + other.left_out)


@dataclass(frozen=True)
class Networks:
    """A strategy's answers for one configuration's runs.

    Attributes:
        params: Initial networks of the first secrets' runs, by secret.
        optimizers: Hyperparameters of all runs.
        repeatability: Repeated calls for the first secrets' runs.
        num_untouched: Number of the first secrets' networks that ``init_model`` left as torch made them.
    """

    params: Float32[Tensor, "secret ordering param"]
    optimizers: list[OptimizerConfig]
    repeatability: Repeatability
    num_untouched: int


def ask_networks(author: Author, repeater: Author, seeds: Seeds, config: TaskConfig, num_secrets: int) -> Networks:
    """Asks for the networks and hyperparameters of all runs, and repeats the calls for the first secrets.

    Args:
        author: Answers the first calls.
        repeater: Answers the repeated calls.
        seeds: Source of random numbers.
        config: The settings.
        num_secrets: Number of first secrets.

    Raises:
        InvalidStrategyError: The strategy does not load, or returned something that the contract refuses.
        StrategyFailedError: A function raised, hit a limit, or ended its process.
        MachineError: The sandbox does not work.
    """
    began = time.perf_counter()
    initial = initialise([(author, seeds)], config)
    seconds = time.perf_counter() - began
    orderings = range(config.num_orderings)
    places = [(i, j) for i in range(num_secrets) for j in orderings]
    first = [initial[0, i, j] for i, j in places]
    repeatability = Repeatability(0, [], ["init_model", "get_optimizer_config"])
    if seconds * len(first) / len(initial) < _MOST_SECONDS_AGAIN:
        with called_again():
            again = repeater.initialise(config, [seeds.run_seed(config, i, j) for i, j in places])
        repeatability = _compare(places, first, again)
    params = torch.stack([params for params, _ in first]).unflatten(0, (num_secrets, config.num_orderings))
    num_untouched = sum(
        torch.equal(untouched(config, seeds.run_seed(config, i, j)), initial[0, i, j][0]) for i, j in places
    )
    return Networks(params, [optimizer for _, optimizer in initial.values()], repeatability, num_untouched)


def untouched(config: TaskConfig, run_seed: int) -> Float32[Tensor, " param"]:
    """Returns the parameters that a run's network has before ``init_model`` is called."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run_seed)
        return flatten(dict(build_network(config.n_features, config.hidden_width).named_parameters())).detach()


def ask_dataset(
    author: Author, repeater: Author, seeds: Seeds, config: TaskConfig, i: int
) -> tuple[Dataset, float, Repeatability]:
    """Asks for secret i's training set; for the arguments see `ask_networks`.

    Returns:
        The training set, the seconds that the strategy took, and the comparison with a repeated call.

    Raises:
        InvalidStrategyError: See `ask_networks`.
        StrategyFailedError: See `ask_networks`.
        MachineError: See `ask_networks`.
    """
    secret, dataset_seed = seeds.secrets(config)[i], seeds.dataset_seed(config, i)
    began = time.perf_counter()
    dataset = author.training_set(config, secret, dataset_seed)
    seconds = time.perf_counter() - began
    if seconds >= _MOST_SECONDS_AGAIN:
        return dataset, seconds, Repeatability(0, [], [f"make_dataset secret={i}"])
    with called_again():
        again = repeater.training_set(config, secret, dataset_seed)
    is_same = torch.equal(again.bits, dataset.bits) and torch.equal(again.labels, dataset.labels)
    return dataset, seconds, Repeatability(1, [] if is_same else [f"make_dataset secret={i}"], [])


def _compare(places: Sequence[tuple[int, int]], first: Sequence[Initial], again: Sequence[Initial]) -> Repeatability:
    differing = []
    for (i, j), (params, optimizer), (params_again, optimizer_again) in zip(places, first, again, strict=True):
        if not torch.equal(params.view(torch.int32), params_again.view(torch.int32)):  # bit for bit, as an audit does
            differing.append(f"init_model secret={i} order={j}")
        if optimizer != optimizer_again:
            differing.append(f"get_optimizer_config secret={i} order={j}")
    return Repeatability(2 * len(places), differing, [])
