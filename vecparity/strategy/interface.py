"""The three-function interface: executing a strategy's file and calling its functions.

Everything that a strategy returns crosses this border once and leaves it as plain arrays: flat parameters, four
numbers, packed bits. This code runs in a worker, beside the strategy, so that every refusal can state its reason; the
evaluator checks the received bytes once more. Source: contract section 3.
"""

import inspect
import io
import json
import linecache
import math
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import decode_source
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from vecparity.errors import InvalidStrategyError, StrategyFailedError, describe, printable
from vecparity.strategy.parameters import FUNCTIONS, Arguments
from vecparity.strategy.source import Strategy
from vecparity.strategy.validation import RefusedError, accepted_dataset, accepted_hyperparameters, accepted_parameters
from vecparity.task import network
from vecparity.task.config import OptimizerConfig, Secret, TaskConfig
from vecparity.task.dataset import Dataset, parity_labels

_CPU = torch.device("cpu")
# The functions with the arguments that they are called with, besides parameters of a strategy's own.
_SIGNATURES = {
    "init_model": ("model", "config"),
    "make_dataset": ("secret", "config", "seed"),
    "get_optimizer_config": ("config",),
}
# Form (c), a bare editable block, imports nothing and expects these names.
_SCOPE: dict[str, Any] = {
    "torch": torch,
    "nn": nn,
    "math": math,
    "random": random,
    "json": json,
    "Path": Path,
    "dataclass": dataclass,
    "TaskConfig": TaskConfig,
    "DEFAULT_TASK": TaskConfig(),
    "parity_labels": parity_labels,
}


@dataclass(frozen=True)
class Interface:
    """A strategy whose file was executed in this process.

    Attributes:
        path: The file, as errors name it.
        module: The module that the file made.
        init_model: Mutates a fresh network in place.
        make_dataset: Returns a secret's training set.
        get_optimizer_config: Returns a run's AdamW hyperparameters.
        device: The device that holds the network when ``init_model`` is called. The default initialisation is
            always drawn on the CPU.
    """

    path: str
    module: ModuleType
    init_model: Callable[[nn.Sequential, TaskConfig], object]
    make_dataset: Callable[[Secret, TaskConfig, int], object]
    get_optimizer_config: Callable[..., object]
    device: torch.device

    def as_its_own(self, config: TaskConfig) -> TaskConfig:
        """Returns the settings as an instance of the strategy's own ``TaskConfig``, too, if its file defines one."""
        own = getattr(self.module, "TaskConfig", None)
        if not isinstance(own, type) or own is TaskConfig:
            return config
        try:
            both = type("TaskConfig", (own, TaskConfig), {})
            shown: TaskConfig = object.__new__(both)
            vars(shown).update(vars(config))
        except TypeError:  # of a kind that cannot have a second base
            return config
        return shown

    def initialise(
        self, config: TaskConfig, run_seeds: Sequence[int]
    ) -> list[tuple[Float32[Tensor, " param"], OptimizerConfig]]:
        """Builds the initial network of each run in turn, and gets its hyperparameters.

        Args:
            config: The settings.
            run_seeds: One seed per run, for Python's ``random`` and torch's generators, set before its network is
                built.

        Returns:
            For each run the initial parameters as one vector on the CPU, and the hyperparameters.

        Raises:
            StrategyFailedError: A function raised.
            InvalidStrategyError: The network is no longer the fixed one, a parameter is not finite, or a
                hyperparameter is missing or invalid.
        """
        return [self._initialise(config, run_seed) for run_seed in run_seeds]

    def _initialise(self, config: TaskConfig, run_seed: int) -> tuple[Float32[Tensor, " param"], OptimizerConfig]:
        params, (optimizer,) = initialise_run(self, config, run_seed, lambda: [self._hyperparameters(config)])
        return params, optimizer

    def _hyperparameters(self, config: TaskConfig) -> object:
        return self.get_optimizer_config(self.as_its_own(config))

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> Dataset:
        """Gets one secret's training set, checks it and packs it.

        Raises:
            StrategyFailedError: ``make_dataset`` raised.
            InvalidStrategyError: ``make_dataset`` returned something that the contract refuses.
        """
        with _seeded(dataset_seed), _calling(self, "make_dataset"):
            returned = self.make_dataset(secret, self.as_its_own(config), dataset_seed)
        with _calling(self, "what make_dataset returned"):
            return accepted_dataset(returned, config)


def load(
    strategy: Strategy,
    device: torch.device = _CPU,
    directory: Path | None = None,
    arguments: Arguments = MappingProxyType({}),
) -> Interface:
    """Executes a strategy's file, in any of the contract's three forms.

    Args:
        strategy: The file.
        device: The device on which ``init_model`` draws.
        directory: An existing empty directory for a copy of the executed bytes, which the strategy may read and change;
            ``__file__`` names the copy. Without a directory, ``__file__`` is the user's path.
        arguments: Keyword arguments for each function's calls, as `parameters.resolve` found them.

    Raises:
        InvalidStrategyError: The file does not load, or lacks one of the three functions.
    """
    file = strategy.path
    if directory is not None:
        copy = directory / Path(strategy.path).name
        copy.write_bytes(strategy.source)
        file = str(copy)
    module = _execute(strategy.source, strategy.path, file, f"strategy_{strategy.sha256[:16]}")
    for name in FUNCTIONS:
        if not callable(getattr(module, name, None)):
            actual = f"{name} = {type(vars(module)[name]).__name__}(...)" if name in vars(module) else f"no {name}"
            raise InvalidStrategyError(f"{strategy.path}: a strategy must define {', '.join(FUNCTIONS)}, got {actual}")
    functions = {name: _with(getattr(module, name), arguments.get(name)) for name in FUNCTIONS}
    return Interface(path=strategy.path, module=module, device=device, **functions)


def _with(function: Callable[..., object], arguments: Mapping[str, object] | None) -> Callable[..., object]:
    return partial(function, **arguments) if arguments else function


def _execute(source: bytes, path: str, file: str, module_name: str) -> ModuleType:
    module = ModuleType(module_name)
    module.__file__ = file
    vars(module).update(_SCOPE)
    sys.modules[module_name] = module  # dataclasses looks up names in field annotations here
    try:
        code = compile(source, path, "exec")
        # In this process the path may be missing or hold different bytes; with this entry, tracebacks, warnings,
        # `inspect` and `torch.jit.script` still find the lines.
        lines = io.StringIO(decode_source(source)).readlines()
        linecache.cache[path] = (len(source), None, lines, path)
        exec(code, vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        line = error.lineno if isinstance(error, SyntaxError) else _line_of(error, path)
        raise InvalidStrategyError(f"{location(path, line)}: does not load: {describe(error)}") from error
    return module


def initialise_run(
    interface: Interface,
    config: TaskConfig,
    run_seed: int,
    get_optimizer_configs: Callable[[], Iterable[Any]],
) -> tuple[Float32[Tensor, " param"], list[OptimizerConfig]]:
    """Builds the initial network of one run, and gets hyperparameters; for the errors see `Interface.initialise`.

    Args:
        interface: The strategy.
        config: The settings.
        run_seed: Seed of Python's and torch's generators.
        get_optimizer_configs: Calls ``get_optimizer_config`` once or, for several variants, several times.
    """
    with _seeded(run_seed):
        model = network.build_network(config.n_features, config.hidden_width).to(interface.device)
        with _calling(interface, "init_model"):
            interface.init_model(model, interface.as_its_own(config))
        with _calling(interface, "get_optimizer_config"):
            all_returned = list(get_optimizer_configs())
    with _calling(interface, "what init_model left"):
        params = accepted_parameters(model, config)
    with _calling(interface, "what get_optimizer_config returned"):
        return params, [accepted_hyperparameters(returned) for returned in all_returned]


@contextmanager
def same_generators() -> Iterator[None]:
    """Restores the states of Python's and torch's global generators afterwards."""
    state = random.getstate()
    cuda = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=cuda):
        try:
            yield
        finally:
            random.setstate(state)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds Python's and torch's global generators, and restores their states afterwards."""
    with same_generators():
        random.seed(seed)
        if torch.cuda.is_available():
            torch.manual_seed(seed)
        else:  # the same for the CPU: for absent GPUs, torch would note each call with a trace of the stack
            torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def _calling(interface: Interface, function: str) -> Iterator[None]:
    """Turns an exception of a strategy into a one-line error; inspecting the strategy's objects may raise as well."""
    try:
        yield
    except RefusedError as refused:
        where = location(interface.path, _first_line(interface, refused.function))
        raise InvalidStrategyError(f"{where}: {refused}") from refused
    except (Exception, SystemExit) as error:
        line = _line_of(error, interface.path)
        if line is None:  # the call itself may have failed
            line = _first_line(interface, function)
            _require_signature(interface, function, line, error)
        raise StrategyFailedError(f"{location(interface.path, line)}: {function} raised {describe(error)}") from error


def _require_signature(interface: Interface, function: str, line: int | None, error: BaseException) -> None:
    """Raises an error that shows the signature if a function cannot be called with the contract's arguments."""
    if function not in _SIGNATURES:
        return
    try:
        signature = inspect.signature(getattr(interface, function))
    except (TypeError, ValueError):  # it has none to be had
        return
    try:
        signature.bind(*_SIGNATURES[function])
    except TypeError:
        expected, actual = ", ".join(_SIGNATURES[function]), _parameters_of(signature)
        raise InvalidStrategyError(
            f"{location(interface.path, line)}: expected {function}({expected}), got {function}{actual}"
        ) from error


def _parameters_of(signature: inspect.Signature) -> str:
    """Returns the names of a function's parameters, without what a strategy could have put beside them."""
    return printable(f"({', '.join(signature.parameters)})")


def _first_line(interface: Interface, function: str) -> int | None:
    called = getattr(interface, function, None)
    code = getattr(called.func if isinstance(called, partial) else called, "__code__", None)
    return code.co_firstlineno if code else None


def location(path: str, line: int | None) -> str:
    """Returns the file and the line as errors name them."""
    return path if line is None else f"{path}:{line}"


def _line_of(error: BaseException, path: str) -> int | None:
    """Returns the line number of the innermost frame in the strategy's file."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == path), None)
