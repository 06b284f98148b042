"""Makes parameters of AdamW's numbers, for strategies whose ``get_optimizer_config`` has none of its own."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace

from vecparity.errors import UsageError
from vecparity.strategy.parameters import declared, names_of, resolve
from vecparity.strategy.rewriting import with_defaults
from vecparity.strategy.source import Strategy
from vecparity.task.config import OptimizerConfig

OPTIMIZER_NAMES = tuple(field.name for field in fields(OptimizerConfig))
_FORMER = "_former_get_optimizer_config"
_ADDED = """

{former} = get_optimizer_config


def get_optimizer_config(config, *, {arguments}):
    return {{**{former}(config), {items}}}
"""


def missing_parameters(strategy: Strategy, names: Iterable[str]) -> list[str]:
    """Returns those of AdamW's numbers among names that are not parameters of the strategy yet."""
    own = names_of(strategy)
    return [name for name in OPTIMIZER_NAMES if name in names and name not in own]


def with_optimizer_parameters(strategy: Strategy, names: Sequence[str], own: OptimizerConfig) -> Strategy:
    """Adds a definition to a strategy's source that has numbers of AdamW's as parameters.

    Args:
        strategy: The strategy. Its ``get_optimizer_config`` must have no keyword-only arguments.
        names: Some of ``lr``, ``wd``, ``beta1`` and ``beta2``; the function's others stay as it returns them.
        own: The numbers that it returns, which become the defaults.

    Raises:
        UsageError: The function has keyword-only arguments, so that it should have these, too.
    """
    if others := declared(strategy.source)["get_optimizer_config"]:
        raise UsageError(
            f"{strategy.path}: get_optimizer_config has the parameters {', '.join(others)}: "
            f"expected {', '.join(names)} among them, put into its signature"
        )
    values = {name: value for name, value in asdict(own).items() if name in names}
    added = _ADDED.format(
        former=_FORMER,
        arguments=", ".join(f"{name}={value!r}" for name, value in values.items()),
        items=", ".join(f'"{name}": {name}' for name in values),
    )
    return replace(strategy, source=strategy.source.rstrip(b"\r\n") + b"\n" + added.encode(), origin="text")


def is_variant(other: Strategy, strategy: Strategy) -> bool:
    """Tells whether one strategy is another with other defaults, or with AdamW's numbers as parameters besides."""
    try:
        values = resolve(other, {}).values
        if missing := missing_parameters(strategy, values):
            numbers = {name: float(values.get(name, 0.0)) for name in OPTIMIZER_NAMES}
            strategy = with_optimizer_parameters(strategy, missing, OptimizerConfig(**numbers))
        return with_defaults(strategy, values).source == other.source
    except (UsageError, ValueError):  # other parameters, or no numbers
        return False
