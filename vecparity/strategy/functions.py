"""Gathers three functions, of a module or of a notebook's cells, into the source of a strategy."""

import ast
import base64
import dis
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from vecparity.errors import UsageError, brief

_POSITIONAL = {
    "init_model": ("model", "config"),
    "make_dataset": ("secret", "config", "seed"),
    "get_optimizer_config": ("config",),
}
_LOADS = ("LOAD_NAME", "LOAD_GLOBAL")
_DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Import, ast.ImportFrom)


class _NoSourceError(Exception):
    """Something that a function uses cannot be written as source."""


def as_source(functions: Mapping[str, Callable[..., Any]]) -> bytes:
    """Writes the definitions of three functions, and of everything that they use, as one file.

    Modules and installed objects that they use are imported there, and plain values are written as they are now. Other
    statements of the module or the cells are left out.

    Args:
        functions: The functions by their names in the interface.

    Raises:
        ValueError: The source of something that they use is not to be had.
    """
    gatherer = _Gatherer()
    try:
        for name, function in functions.items():
            gatherer.add_function(name, function)
    except (_NoSourceError, OSError, SyntaxError) as error:
        raise ValueError(str(error)) from error
    return "\n\n".join(["from __future__ import annotations", *gatherer.statements, ""]).encode()


def as_pickle(functions: Mapping[str, Callable[..., Any]]) -> bytes:
    """Writes three functions as a file that unpickles them; their parameters stay parameters.

    Raises:
        UsageError: A function cannot be pickled.
    """
    import cloudpickle  # every command loads this module, and few need to pickle

    own = {sys.modules[function.__module__] for function in functions.values() if not _is_installed(function)}
    try:
        for module in own:
            cloudpickle.register_pickle_by_value(module)
        pickled = base64.b64encode(cloudpickle.dumps(dict(functions))).decode()
    except Exception as error:
        raise UsageError(f"expected functions that can be pickled, got {brief(functions)}: {error}") from error
    lines = ["import base64", "import pickle", f'_functions = pickle.loads(base64.b64decode("{pickled}"))']
    for name, function in functions.items():
        parameters = [
            (parameter.name, parameter.default)
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY and isinstance(parameter.default, bool | int | float | str)
        ]
        declared = "".join(f", {key}={default!r}" for key, default in parameters)
        passed = "".join(f", {key}={key}" for key, _ in parameters)
        given = ", ".join(_POSITIONAL[name])
        star = ", *" if parameters else ""
        lines += [f"def {name}({given}{star}{declared}):", f"    return _functions[{name!r}]({given}{passed})"]
    return "\n".join([*lines, ""]).encode()


class _Gatherer:
    """Collects statements, each after the statements that define what it uses.

    Attributes:
        statements: The statements' source.
    """

    def __init__(self) -> None:
        self.statements: list[str] = []
        self._names: dict[str, object] = {}

    def add_function(self, name: str, function: Callable[..., Any]) -> None:
        """Adds the definition of a function under its name in the interface."""
        if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
            raise _NoSourceError(f"{name} is no function that a def statement made")
        self._define(function.__name__, function, function.__globals__, function.__code__.co_filename)
        if function.__name__ != name:
            self.statements.append(f"{name} = {function.__name__}")

    def _need(self, name: str, names: Mapping[str, Any], file: str) -> None:
        """Adds what a name stands for, unless it is built in or not defined, as a call here would find."""
        if name in names:
            self._define(name, names[name], names, file)

    def _define(self, name: str, value: Any, names: Mapping[str, Any], file: str) -> None:
        if name in self._names:
            if self._names[name] is not value:
                raise _NoSourceError(f"{name} stands for different things in two modules")
            return
        self._names[name] = value
        if isinstance(value, ModuleType):
            self.statements.append(f"import {value.__name__} as {name}")
        elif _is_installed(value):
            self.statements.append(f"from {value.__module__} import {value.__name__} as {name}")
        elif _is_plain(value):
            self.statements.append(f"{name} = {value!r}")
        elif isinstance(value, FunctionType | type):
            self._add_definition(name, value)
        else:
            self._add_statements(name, names, file)

    def _add_definition(self, name: str, value: "FunctionType | type") -> None:
        """Adds a function or class of the user's own, from wherever it was defined."""
        if isinstance(value, FunctionType):
            if value.__closure__:
                raise _NoSourceError(f"{value.__qualname__} uses local variables of another function")
            names, file = value.__globals__, value.__code__.co_filename
        else:
            names, file = vars(sys.modules[value.__module__]), inspect.getsourcefile(value) or ""
            methods = [method for method in vars(value).values() if isinstance(method, FunctionType)]
            file = methods[0].__code__.co_filename if methods else file
        if value.__qualname__ != name:
            raise _NoSourceError(f"{name} was defined as {value.__qualname__}")
        self._add_statements(name, names, file)

    def _add_statements(self, name: str, names: Mapping[str, Any], file: str) -> None:
        """Adds the statements of a file or cell that bind a name, after what they use."""
        found = [statement for statement in _statements(file) if name in _bound(statement)]
        if not found:
            raise _NoSourceError(f"{name} is defined by no statement of {file}")
        for statement in found:
            for used in _used(compile(ast.Module([statement], []), file, "exec")):
                self._need(used, names, file)
            self.statements.append(ast.unparse(statement))


def _statements(file: str) -> list[ast.stmt]:
    """Parses a file, or a cell that IPython keeps for tracebacks."""
    return ast.parse("".join(linecache.getlines(file))).body


def _bound(statement: ast.stmt) -> set[str]:
    """Returns the names that a statement defines at the top level."""
    if not isinstance(statement, _DEFINITIONS):
        return set()
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _used(code: CodeType) -> Iterator[str]:
    """Yields the global names that code reads, in functions and classes within it, too."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in _LOADS:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _used(constant)


def _is_installed(value: object) -> bool:
    """Tells whether a worker can import an object by its name: it is Python's, or of an installed package."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    name = getattr(value, "__name__", None)
    if module is None or not isinstance(name, str) or getattr(module, name, None) is not value:
        return False
    file = getattr(sys.modules.get(module.__name__.partition(".")[0]), "__file__", None)
    if file is None:  # built in
        return module.__name__ in sys.builtin_module_names
    package = module.__name__.partition(".")[0]
    paths = [Path(sysconfig.get_path(key)) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    return package == "vecparity" or any(Path(file).is_relative_to(path) for path in paths)


def _is_plain(value: object) -> bool:
    with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return type(value) is not type and bool(ast.literal_eval(repr(value)) == value)
    return False
