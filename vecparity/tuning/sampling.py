"""Optuna's samplers by name, and its distributions for the ranges of parameters."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from vecparity.errors import UsageError
from vecparity.strategy.space import Choice, Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

SamplerName = Literal["tpe", "cmaes", "gp", "random"]


def require_optuna() -> None:
    """Checks that the extra ``search`` is installed, and has Optuna log problems only.

    Raises:
        UsageError: It is not installed.
    """
    missing = [name for name in ("optuna", "cmaes") if find_spec(name) is None]  # Optuna imports the other when it must
    if missing:
        raise UsageError(f"a search needs {' and '.join(missing)}, not installed here: pip install 'vecparity[search]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def make_sampler(name: SamplerName, space: Space, seed: int) -> "BaseSampler":
    """Makes a sampler for one batch.

    Args:
        name: ``tpe`` is Optuna's default, which takes trials that are being evaluated for bad ones (constant liar), so
            that those of a batch lie apart. ``cmaes`` and ``gp`` need numbers to vary in; ``gp`` cannot tell trials
            that differ in steps alone.
        space: The space.
        seed: The seed.

    Raises:
        UsageError: There is no such sampler, or it cannot search in this space.
    """
    from optuna import samplers

    if name == "cmaes" and not any(isinstance(given, Range) for given in space.values()):
        raise UsageError("the sampler cmaes needs a range of numbers, got choices only: expected --sampler tpe")
    if name == "tpe":
        return samplers.TPESampler(seed=seed, constant_liar=True)
    if name == "cmaes":
        random = samplers.RandomSampler(seed=seed)
        return samplers.CmaEsSampler(seed=seed, independent_sampler=random, warn_independent_sampling=False)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    raise UsageError(f"sampler must be one of tpe, cmaes, gp, random, got {name!r}")


def distributions(space: Space) -> "dict[str, BaseDistribution]":
    """Returns the distribution of each parameter."""
    return {name: _distribution(given) for name, given in space.items()}


def _distribution(given: Range | Choice) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(given, Choice):
        return CategoricalDistribution(given.values)
    if given.is_whole:
        return IntDistribution(int(given.low), int(given.high), log=given.log)
    return FloatDistribution(float(given.low), float(given.high), log=given.log)
