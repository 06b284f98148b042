"""The values of a strategy's keyword parameters, as provenance has them."""

import math
from collections.abc import Mapping

import msgspec

from vecparity.errors import brief
from vecparity.strategy.parameters import Value as ParamValue
from vecparity.strategy.parameters import written

Params = dict[str, ParamValue]


def param_words(params: Mapping[str, ParamValue]) -> list[str]:
    """Returns ``NAME=VALUE`` of each parameter, in alphabetical order, as the command's ``--param`` takes them."""
    return [written(name, value) for name, value in sorted(params.items())]


def params_key(params: Mapping[str, ParamValue]) -> str:
    """Returns the parameters as JSON in alphabetical order, in which 1, 1.0, true and "1" differ."""
    return msgspec.json.encode(params, order="sorted").decode()


def title(strategy: str, params: Mapping[str, ParamValue]) -> str:
    """Returns a strategy's name with its parameters, which tell entries of one source apart."""
    return " ".join([strategy, *param_words(params)]) if params else strategy


def identity(sha256: str, params: Mapping[str, ParamValue]) -> tuple[str, str]:
    """Returns the digest of a source and its parameters: the same for everything that one contender made."""
    return sha256, params_key(params) if params else "{}"


def check_params(params: Mapping[str, ParamValue]) -> None:
    """Checks parameters from a file, apart from their lengths and whether their texts can be printed.

    Raises:
        ValueError: A name is not an identifier, or a value is not finite.
    """
    for name, value in params.items():
        if not name.isidentifier():
            raise ValueError(f"expected an identifier as the name of a parameter, got {brief(name)}")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError(f"expected a number within 64 bits as parameter {brief(name)}, got {brief(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"expected a finite number as parameter {brief(name)}, got {value}")
