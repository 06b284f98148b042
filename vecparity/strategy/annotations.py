"""Reads the ranges of a strategy's parameters from its functions' annotations, in the worker that executed its file."""

import inspect
import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from vecparity.errors import InvalidStrategyError, UsageError, describe
from vecparity.strategy.interface import Interface, location
from vecparity.strategy.parameters import FUNCTIONS
from vecparity.strategy.space import Choice, Range, Space


def read_space(interface: Interface) -> Space:
    """Returns the ranges of all parameters that have one.

    Raises:
        InvalidStrategyError: A range is not that of a keyword-only parameter, is not as `Range` and `Choice` make it,
            or is another than that of the same parameter in another function; or an annotation cannot be evaluated.
    """
    space: dict[str, Range | Choice] = {}
    for function in FUNCTIONS:
        called = inspect.unwrap(getattr(interface, function))
        where = location(interface.path, getattr(getattr(called, "__code__", None), "co_firstlineno", None))
        try:
            parameters = inspect.signature(called).parameters.values()
        except (TypeError, ValueError):  # it has no signature to be had, and so no parameters
            continue
        for parameter in parameters:
            for given in _ranges(parameter, called, where):
                if parameter.kind is not parameter.KEYWORD_ONLY or parameter.default is parameter.empty:
                    raise InvalidStrategyError(
                        f"{where}: {function}: expected a range on a keyword-only argument with a default, "
                        f"got one on {parameter.name} (as in *, {parameter.name}: ... = 0.1)"
                    )
                if space.setdefault(parameter.name, given) != given:
                    raise InvalidStrategyError(
                        f"{where}: {function}: expected one range of {parameter.name}, "
                        f"got {space[parameter.name]} and {given}"
                    )
    return space


def _ranges(parameter: inspect.Parameter, function: Any, where: str) -> Iterator[Range | Choice]:
    annotation = parameter.annotation
    if isinstance(annotation, str):  # as under `from __future__ import annotations`
        try:
            annotation = eval(annotation, function.__globals__)
        except Exception as error:
            if not re.search("Annotated|Range|Choice", annotation):  # it may be for type checkers alone
                return
            raise InvalidStrategyError(
                f"{where}: the annotation of {parameter.name} cannot be evaluated: {describe(error)}"
            ) from error
    if get_origin(annotation) is not Annotated:
        return
    kind, *metadata = get_args(annotation)
    for given in metadata:
        if isinstance(given, Range | Choice):
            try:
                yield _made_anew(given, kind)
            except (UsageError, AttributeError, TypeError) as error:
                raise InvalidStrategyError(f"{where}: {parameter.name}: {describe(error)}") from error


def _made_anew(given: Range | Choice, kind: object) -> Range | Choice:
    """Makes the same range once more, which checks it: the strategy may have changed it."""
    if isinstance(given, Choice):
        return Choice(*given.values)
    own = Range(given.low, given.high, given.log)
    return own.as_floats() if kind is float else own
