"""The three-function interface: executing a strategy's file, calling it, and refusing what the contract refuses.

Everything that a strategy returns crosses this border once and leaves it as plain arrays: flat parameters, four
numbers, packed bits. This code runs beside the strategy, in a worker, so that what it refuses is refused with a
reason; the evaluator checks what it gets once more, as bytes. Source: contract section 3.
"""

import json
import math
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor, nn

from vecparity import network
from vecparity.data import Dataset, pack, parity_labels
from vecparity.errors import InvalidStrategyError, StrategyFailedError
from vecparity.spec import OptimizerConfig, Secret, TaskConfig
from vecparity.strategy import Strategy

_CPU = torch.device("cpu")
_FUNCTIONS = ("init_model", "make_dataset", "get_optimizer_config")
# Form (c), a bare editable block, imports nothing and expects these.
_SCOPE: dict[str, Any] = {
    "torch": torch,
    "nn": nn,
    "math": math,
    "random": random,
    "json": json,
    "Path": Path,
    "dataclass": dataclass,
    "TaskConfig": TaskConfig,
    "parity_labels": parity_labels,
}
HYPERPARAMETERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "lr": (lambda lr: 0 < lr < math.inf, "finite and above 0"),
    "wd": (lambda wd: 0 <= wd < math.inf, "finite and at least 0"),
    "beta1": (lambda beta: 0 < beta < 1, "between 0 and 1, both excluded"),
    "beta2": (lambda beta: 0 < beta < 1, "between 0 and 1, both excluded"),
}
# Rows that are checked and packed at a time: bounds what a dataset takes besides itself.
_PACK_ROWS = 1 << 18


@dataclass(frozen=True)
class Interface:
    """A strategy whose file has been executed in this process.

    Attributes:
        path: The file, as it is named in errors.
        init_model: Mutates a fresh network in place.
        make_dataset: Returns a secret's training set.
        get_optimizer_config: Returns a run's AdamW hyperparameters.
        device: Where a network is when ``init_model`` draws on it. Its default initialisation is always drawn on the
            CPU.
    """

    path: str
    init_model: Callable[[nn.Sequential, TaskConfig], object]
    make_dataset: Callable[[Secret, TaskConfig, int], object]
    get_optimizer_config: Callable[[TaskConfig], object]
    device: torch.device

    def initialise(
        self, config: TaskConfig, run_seeds: Sequence[int]
    ) -> list[tuple[Float32[Tensor, " param"], OptimizerConfig]]:
        """Builds the initial network of one run after the other, and asks for its hyperparameters.

        Args:
            config: The settings.
            run_seeds: Each seeds Python's ``random`` and torch's generators before its network is built.

        Returns:
            For each run the initial parameters as one vector on the CPU, and the hyperparameters.

        Raises:
            StrategyFailedError: A function raised.
            InvalidStrategyError: The network is no longer the fixed one, a parameter is not finite, or a
                hyperparameter is missing or cannot be.
        """
        return [_initialise(self, config, run_seed) for run_seed in run_seeds]

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> Dataset:
        """Asks for one secret's training set, checks it and packs it.

        Raises:
            StrategyFailedError: ``make_dataset`` raised.
            InvalidStrategyError: It returned what the contract refuses.
        """
        with _seeded(dataset_seed), _calling(self, "make_dataset"):
            returned = self.make_dataset(secret, config, dataset_seed)
        with _calling(self, "what make_dataset returned"):
            x, y = _validated_pair(self, returned, config)
            bits = [pack(_as_bits(self, "x", block, row)) for row, block in _blocks(x)]
            labels = [_as_bits(self, "y", block, row) for row, block in _blocks(y.reshape(-1))]
        return Dataset(torch.cat(bits), torch.cat(labels), config.n_features)


def load(strategy: Strategy, device: torch.device = _CPU) -> Interface:
    """Executes a strategy's file, in any of the contract's three forms.

    Raises:
        InvalidStrategyError: The file does not load, or lacks one of the three functions.
    """
    module = _execute(strategy.source, strategy.path, f"strategy_{strategy.sha256[:16]}")
    for name in _FUNCTIONS:
        if not callable(getattr(module, name, None)):
            raise InvalidStrategyError(f"{strategy.path}: a strategy defines {', '.join(_FUNCTIONS)}, got no {name}")
    functions = {name: getattr(module, name) for name in _FUNCTIONS}
    return Interface(path=strategy.path, device=device, **functions)


def _execute(source: bytes, path: str, module_name: str) -> ModuleType:
    module = ModuleType(module_name)
    module.__file__ = path
    vars(module).update(_SCOPE)
    sys.modules[module_name] = module  # where dataclasses looks up the names in its fields' annotations
    try:
        exec(compile(source, path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        line = error.lineno if isinstance(error, SyntaxError) else _line_of(error, path)
        raise InvalidStrategyError(f"{_location(path, line)}: does not load: {describe(error)}") from error
    return module


def _initialise(
    interface: Interface, config: TaskConfig, run_seed: int
) -> tuple[Float32[Tensor, " param"], OptimizerConfig]:
    with _seeded(run_seed):
        model = network.build_network(config.n_features, config.hidden_width).to(interface.device)
        with _calling(interface, "init_model"):
            interface.init_model(model, config)
        with _calling(interface, "get_optimizer_config"):
            returned = interface.get_optimizer_config(config)
    with _calling(interface, "what init_model left"):
        params = _validated_parameters(interface, model, config)
    with _calling(interface, "what get_optimizer_config returned"):
        return params, _validated_hyperparameters(interface, returned)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds Python's and torch's global generators, and gives them back as they were."""
    state = random.getstate()
    cuda = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=cuda):
        random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(state)


@contextmanager
def _calling(interface: Interface, function: str) -> Iterator[None]:
    """Turns what a strategy raises into one line; objects of its own may raise when they are looked at, too."""
    try:
        yield
    except InvalidStrategyError:
        raise
    except (Exception, SystemExit) as error:
        where = _location(interface.path, _line_of(error, interface.path))
        raise StrategyFailedError(f"{where}: {function} raised {describe(error)}") from error


def _validated_parameters(interface: Interface, model: nn.Sequential, config: TaskConfig) -> Float32[Tensor, " param"]:
    expected = network.parameter_shapes(config.n_features, config.hidden_width)
    fixed = network.build_skeleton(config.n_features, config.hidden_width)
    if [type(module) for module in model.modules()] != [type(module) for module in fixed.modules()]:
        got = " -> ".join(type(layer).__name__ for layer in model) + f" in a {type(model).__name__}"
        raise _invalid(interface, "init_model", "must leave Linear -> ReLU -> Linear -> Sigmoid in place", got)
    parameters = dict(model.named_parameters())
    for part in (*model.modules(), *parameters.values()):
        hooks = [key for key in (*vars(part), "_backward_hooks") if key.endswith("_hooks") and getattr(part, key, None)]
        if hooks or "forward" in vars(part):
            got = f"{hooks[0] if hooks else 'a replaced forward'} on {type(part).__name__}"
            raise _invalid(interface, "init_model", "must set parameters only, without hooks", got)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    if shapes != expected:
        raise _invalid(interface, "init_model", f"must leave parameters of shapes {_shapes(expected)}", _shapes(shapes))
    for name, parameter in parameters.items():
        if type(parameter) is not nn.Parameter:
            got = type(parameter).__name__
            raise _invalid(interface, "init_model", f"must leave {name} a Parameter of torch's own class", got)
        if parameter.dtype != torch.float32 or not parameter.requires_grad:
            got = f"{parameter.dtype}, requires_grad={parameter.requires_grad}"
            raise _invalid(interface, "init_model", f"must leave {name} trainable and torch.float32", got)
        finite = parameter.isfinite()
        if not finite.all():
            value = parameter.detach()[~finite][0].item()
            raise _invalid(interface, "init_model", f"must leave {name} finite", value)
    return network.flatten(parameters).cpu()


def _validated_hyperparameters(interface: Interface, returned: object) -> OptimizerConfig:
    function = "get_optimizer_config"
    if not isinstance(returned, Mapping):
        raise _invalid(interface, function, "must return a dict", type(returned).__name__)
    values = {}
    for name, (is_valid, expected) in HYPERPARAMETERS.items():
        if name not in returned:
            got = f"the keys {sorted(map(str, returned))}"
            raise _invalid(interface, function, f"must return a dict with {name!r}", got)
        try:
            values[name] = float(returned[name])
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise _invalid(interface, function, f"{name} must be a number", repr(returned[name])) from error
        if not is_valid(values[name]):
            raise _invalid(interface, function, f"{name} must be {expected}", values[name])
    return OptimizerConfig(**values)


def _validated_pair(interface: Interface, returned: object, config: TaskConfig) -> tuple[Tensor, Tensor]:
    """Checks everything but the values of what ``make_dataset`` returned."""
    function = "make_dataset"
    if isinstance(returned, Mapping):
        for key in ("x", "y"):
            if key not in returned:
                got = f"the keys {sorted(map(str, returned))}"
                raise _invalid(interface, function, f"must return a dict with {key!r}", got)
        pair = (returned["x"], returned["y"])
    elif isinstance(returned, tuple | list) and len(returned) == 2:
        pair = (returned[0], returned[1])
    else:
        length = f" of length {len(returned)}" if isinstance(returned, tuple | list) else ""
        expected = "must return (x, y), [x, y] or {'x': x, 'y': y}"
        raise _invalid(interface, function, expected, type(returned).__name__ + length)
    x, y = (_as_tensor(interface, name, value) for name, value in zip("xy", pair, strict=True))
    if x.ndim != 2 or x.shape[1] != config.n_features:
        expected = f"x must have shape [num_examples, n_features={config.n_features}]"
        raise _invalid(interface, function, expected, list(x.shape))
    if len(x) != y.numel():
        expected = f"y must have as many rows as x, {len(x)}"
        raise _invalid(interface, function, expected, f"{y.numel()} (shape {list(y.shape)})")
    if not 1 <= len(x) <= config.max_train_examples:
        expected = f"x must have between 1 and max_train_examples={config.max_train_examples} rows"
        raise _invalid(interface, function, expected, len(x))
    return x, y


def _as_tensor(interface: Interface, name: str, value: object) -> Tensor:
    try:
        tensor = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        expected = f"{name} must be a tensor, an array or nested lists of numbers"
        raise _invalid(interface, "make_dataset", expected, f"{type(value).__name__} ({describe(error)})") from error
    if tensor.is_complex() or tensor.layout != torch.strided:
        expected = f"{name} must be dense and real"
        raise _invalid(interface, "make_dataset", expected, f"{tensor.dtype}, {tensor.layout}")
    return tensor


def _blocks(values: Shaped[Tensor, "row ..."]) -> Iterator[tuple[int, Shaped[Tensor, "block ..."]]]:
    for row in range(0, len(values), _PACK_ROWS):
        yield row, values[row : row + _PACK_ROWS]


def _as_bits(
    interface: Interface, name: str, block: Shaped[Tensor, "block ..."], first_row: int
) -> UInt8[Tensor, "block ..."]:
    """Checks that a block of x or y, as float32, holds nothing but 0 and 1."""
    values = block.cpu()
    values = values.float() if values.is_floating_point() else values
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row, *feature = wrong.nonzero()[0].tolist()
        place = f"row {first_row + row}" + "".join(f", feature {index}" for index in feature)
        value = values[row, *feature].item()
        raise _invalid(interface, "make_dataset", f"{name} must contain only 0 and 1", f"{value} at {place}")
    return values.to(torch.uint8)


def _invalid(interface: Interface, function: str, expected: str, got: object) -> InvalidStrategyError:
    code = getattr(getattr(interface, function), "__code__", None)
    where = _location(interface.path, code.co_firstlineno if code else None)
    return InvalidStrategyError(f"{where}: {function}: {expected}, got {got}")


def _location(path: str, line: int | None) -> str:
    return path if line is None else f"{path}:{line}"


def _line_of(error: BaseException, path: str) -> int | None:
    """The line of the strategy's file that was running, in its innermost frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == path), None)


def describe(error: BaseException) -> str:
    """The exception's name and the first line of its message, at most 200 characters."""
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {message[:200]}" if message else type(error).__name__
    except BaseException:  # raised by a strategy's own exception, of itself
        return "an exception that cannot be told"


def _shapes(shapes: Mapping[str, torch.Size]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
