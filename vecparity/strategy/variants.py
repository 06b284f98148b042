"""Variants of a strategy that differ in arguments of ``get_optimizer_config`` alone: their networks are made once.

Each variant must get what it would get by itself. After each call of ``init_model``, every variant's call begins with
the same states of the global generators; and if the calls change anything that the strategy's module holds, which a
later call could see, the variants' networks are made one after another instead.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import cloudpickle
import numpy as np
from jaxtyping import Float32
from torch import Tensor

from vecparity.errors import StrategyFailedError
from vecparity.strategy.interface import Interface, initialise_run, same_generators
from vecparity.strategy.parameters import Value
from vecparity.task.config import OptimizerConfig, TaskConfig


def initialise(
    interface: Interface, config: TaskConfig, run_seeds: Sequence[int], variants: Sequence[Mapping[str, Value]]
) -> tuple[list[Float32[Tensor, " param"]], list[list[OptimizerConfig]]]:
    """Builds the initial network of each run once, and gets every variant's hyperparameters.

    Args:
        interface: The strategy.
        config: The settings.
        run_seeds: One seed for each run, see `Interface.initialise`.
        variants: Keyword arguments of ``get_optimizer_config`` for each variant.

    Returns:
        The initial parameters of each run, and the hyperparameters of each run, variant by variant.

    Raises:
        StrategyFailedError: A function raised, or calls of ``get_optimizer_config`` may depend on each other.
        InvalidStrategyError: See `Interface.initialise`.
    """
    params, optimizers = [], []
    cloudpickle.register_pickle_by_value(interface.module)
    for run_seed in run_seeds:
        own_params, own_optimizers = initialise_run(interface, config, run_seed, _Calls(interface, config, variants))
        params.append(own_params)
        optimizers.append(own_optimizers)
    return params, [list(of_variant) for of_variant in zip(*optimizers, strict=True)]


class _Calls:
    """The variants' calls of ``get_optimizer_config`` for one run, each as if it were the only one.

    Args:
        interface: The strategy.
        config: The settings.
        variants: Each variant's keyword arguments.
    """

    def __init__(self, interface: Interface, config: TaskConfig, variants: Sequence[Mapping[str, Value]]) -> None:
        self._interface, self._config, self._variants = interface, config, variants

    def __call__(self) -> Iterator[object]:
        """Yields what each call returns."""
        before = self._state()
        for arguments in self._variants:
            with same_generators():
                returned = self._interface.get_optimizer_config(self._interface.as_its_own(self._config), **arguments)
            yield returned
        if self._state() != before:
            raise StrategyFailedError(f"{self._interface.path}: calls of get_optimizer_config depend on each other")

    def _state(self) -> str:
        """Digests everything that the strategy's module holds, and numpy's global generator.

        Raises:
            Exception: Something that it holds cannot be pickled.
        """
        held = {name: value for name, value in vars(self._interface.module).items() if name != "__builtins__"}
        numpys = np.random.get_state()  # noqa: NPY002  a strategy may use it
        return hashlib.sha256(cloudpickle.dumps((held, numpys))).hexdigest()
