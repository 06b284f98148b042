"""Parameters of a strategy: keyword-only arguments with defaults of its three functions, read without executing it.

    def get_optimizer_config(config, *, lr=1e-2, wd=0.3): ...

has the parameters ``lr`` and ``wd``. A parameter that several functions take has one value for all of them.
"""

import ast
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from vecparity.errors import UsageError, brief
from vecparity.strategy.source import Strategy

FUNCTIONS = ("init_model", "make_dataset", "get_optimizer_config")
Value = bool | int | float | str
# Arguments of each function's calls, by function and name.
Arguments = Mapping[str, Mapping[str, Value]]

_MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Parameters:
    """The values of a strategy's parameters in one evaluation.

    Attributes:
        values: All values by name, defaults included; a default that is not a literal is left out.
        arguments: For each function the values to pass, without those that equal the defaults.
    """

    values: dict[str, Value]
    arguments: dict[str, dict[str, Value]]


def parse(texts: Sequence[str]) -> dict[str, Value]:
    """Reads ``NAME=VALUE`` texts. A value that is no number and not True or False is text.

    Raises:
        UsageError: A text has another form, or a name is given twice.
    """
    given: dict[str, Value] = {}
    for text in texts:
        name, is_assigned, value = text.partition("=")
        if not is_assigned or not name.isidentifier():
            raise UsageError(f"param must be NAME=VALUE, as in lr=0.01, got {brief(text)}")
        if name in given:
            raise UsageError(f"param {name} is given twice, as {brief(given[name])} and {brief(value)}")
        given[name] = read_value(value)
    return given


def read_value(text: str) -> Value:
    """Reads a value: a number, True, False, or else text."""
    literal = _literal_of(text)
    return text if literal is None else literal


def written(name: str, value: Value) -> str:
    """Returns the ``NAME=VALUE`` that `parse` reads as exactly this value: text that is no literal stands unquoted."""
    is_unquoted = isinstance(value, str) and _literal_of(value) is None
    return f"{name}={value if is_unquoted else repr(value)}"


def resolve(strategy: Strategy, given: Mapping[str, Value]) -> Parameters:
    """Returns the values of all parameters, for the values given to some.

    Raises:
        UsageError: The strategy has no such parameter, or a value is not a finite number, a truth value or a short line
            of text.
    """
    functions = declared(strategy.source)
    names = names_of(strategy)
    for name, value in given.items():
        if name not in names:
            known = (
                f"its parameters are {', '.join(names)}" if names else "its functions have no keyword-only arguments"
            )
            raise UsageError(f"{strategy.path}: no parameter {brief(name)}: {known}")
        require_value(name, value)
    defaults = {
        name: default
        for parameters in functions.values()
        for name, default in parameters.items()
        if default is not None
    }
    arguments = {
        function: {name: given[name] for name, default in parameters.items() if _is_changed(name, default, given)}
        for function, parameters in functions.items()
    }
    return Parameters(dict(sorted({**defaults, **given}.items())), arguments)


def whole_parameters(strategy: Strategy) -> set[str]:
    """Returns the names of parameters that are whole numbers: by their annotation, or else by their default."""
    found = set[str]()
    for arguments in signatures(ast.parse(strategy.source)).values():
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            kind = "" if argument.annotation is None else ast.unparse(argument.annotation)
            value = None if default is None else literal(default)
            by_default = isinstance(value, int) and not isinstance(value, bool) and not re.search(r"\bfloat\b", kind)
            if by_default or re.search(r"\bint\b", kind):
                found.add(argument.arg)
    return found


def names_of(strategy: Strategy) -> list[str]:
    """Returns the names of a strategy's parameters, in alphabetical order."""
    return sorted({name for parameters in declared(strategy.source).values() for name in parameters})


def _is_changed(name: str, default: Value | None, given: Mapping[str, Value]) -> bool:
    # 1, 1.0 and True are equal, but a strategy can tell them apart.
    return name in given and (type(given[name]), given[name]) != (type(default), default)


def require_value(name: str, value: object) -> None:
    is_plain = isinstance(value, bool | int | float | str)
    if isinstance(value, float) and not math.isfinite(value):
        is_plain = False
    if isinstance(value, str) and not (value.isprintable() and len(value) <= _MOST_CHARACTERS):
        is_plain = False
    if isinstance(value, int) and abs(value) >= 2**63:
        is_plain = False
    if not is_plain:
        expected = f"a finite number, True, False, or one line of at most {_MOST_CHARACTERS} characters"
        raise UsageError(f"parameter {name} must be {expected}, got {brief(value)}")


@cache
def declared(source: bytes) -> dict[str, dict[str, Value | None]]:
    """Reads each function's parameters and defaults; None stands for a default that is not a literal.

    A source that does not parse has none: the worker that executes it explains why.
    """
    functions: dict[str, dict[str, Value | None]] = {function: {} for function in FUNCTIONS}
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return functions
    for function, arguments in signatures(tree).items():
        functions[function] = {
            argument.arg: literal(default)
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default is not None
        }
    return functions


def signatures(tree: ast.Module) -> dict[str, ast.arguments]:
    """Returns the arguments of each function that a source defines: those of its last definition, as in Python."""
    return {
        statement.name: statement.args
        for statement in tree.body
        if isinstance(statement, ast.FunctionDef) and statement.name in FUNCTIONS
    }


def _literal_of(text: str) -> Value | None:
    try:
        return literal(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def literal(default: ast.expr) -> Value | None:
    """Returns the value of an expression that is a literal and can be a parameter's value; None for any other."""
    try:
        value = ast.literal_eval(default)
        require_value("", value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, UsageError):
        return None
    assert isinstance(value, bool | int | float | str)
    return value
