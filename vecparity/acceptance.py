"""What the contract accepts of what a strategy leaves and returns, and what it refuses. Source: contract section 3."""

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor, nn

from vecparity import network
from vecparity.data import Dataset, pack
from vecparity.errors import describe
from vecparity.spec import OptimizerConfig, TaskConfig

HYPERPARAMETERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "lr": (lambda lr: 0 < lr < math.inf, "finite and above 0"),
    "wd": (lambda wd: 0 <= wd < math.inf, "finite and at least 0"),
    "beta1": (lambda beta: 0 < beta < 1, "between 0 and 1, both excluded"),
    "beta2": (lambda beta: 0 < beta < 1, "between 0 and 1, both excluded"),
}
# Rows that are checked and packed at a time: bounds what a dataset takes besides itself.
_PACK_ROWS = 1 << 18


class RefusedError(Exception):
    """What a function left or returned is refused.

    Attributes:
        function: The function's name.
    """

    def __init__(self, function: str, expected: str, got: object) -> None:
        super().__init__(f"{function}: {expected}, got {got}")
        self.function = function


def accepted_parameters(model: nn.Sequential, config: TaskConfig) -> Float32[Tensor, " param"]:
    """Returns the parameters that ``init_model`` left, as one vector on the CPU.

    Raises:
        RefusedError: The network is no longer the fixed one, or a parameter is not finite.
    """
    expected = network.parameter_shapes(config.n_features, config.hidden_width)
    fixed = network.build_skeleton(config.n_features, config.hidden_width)
    if [type(module) for module in model.modules()] != [type(module) for module in fixed.modules()]:
        got = " -> ".join(type(layer).__name__ for layer in model) + f" in a {type(model).__name__}"
        raise RefusedError("init_model", "must leave Linear -> ReLU -> Linear -> Sigmoid in place", got)
    parameters = dict(model.named_parameters())
    for part in (*model.modules(), *parameters.values()):
        hooks = [key for key in (*vars(part), "_backward_hooks") if key.endswith("_hooks") and getattr(part, key, None)]
        if hooks or "forward" in vars(part):
            got = f"{hooks[0] if hooks else 'a replaced forward'} on {type(part).__name__}"
            raise RefusedError("init_model", "must set parameters only, without hooks", got)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    if shapes != expected:
        raise RefusedError("init_model", f"must leave parameters of shapes {_shapes(expected)}", _shapes(shapes))
    for name, parameter in parameters.items():
        if type(parameter) is not nn.Parameter:
            got = type(parameter).__name__
            raise RefusedError("init_model", f"must leave {name} a Parameter of torch's own class", got)
        if parameter.dtype != torch.float32 or not parameter.requires_grad:
            got = f"{parameter.dtype}, requires_grad={parameter.requires_grad}"
            raise RefusedError("init_model", f"must leave {name} trainable and torch.float32", got)
        finite = parameter.isfinite()
        if not finite.all():
            value = parameter.detach()[~finite][0].item()
            raise RefusedError("init_model", f"must leave {name} finite", value)
    return network.flatten(parameters).cpu()


def accepted_hyperparameters(returned: object) -> OptimizerConfig:
    """Returns the hyperparameters that ``get_optimizer_config`` returned.

    Raises:
        RefusedError: One is missing or cannot be.
    """
    function = "get_optimizer_config"
    if not isinstance(returned, Mapping):
        raise RefusedError(function, "must return a dict", type(returned).__name__)
    values = {}
    for name, (is_valid, expected) in HYPERPARAMETERS.items():
        if name not in returned:
            got = f"the keys {sorted(map(str, returned))}"
            raise RefusedError(function, f"must return a dict with {name!r}", got)
        try:
            values[name] = float(returned[name])
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise RefusedError(function, f"{name} must be a number", repr(returned[name])) from error
        if not is_valid(values[name]):
            raise RefusedError(function, f"{name} must be {expected}", values[name])
    return OptimizerConfig(**values)


def accepted_dataset(returned: object, config: TaskConfig) -> Dataset:
    """Packs what ``make_dataset`` returned.

    Raises:
        RefusedError: It is not what the contract accepts.
    """
    x, y = _accepted_pair(returned, config)
    bits = [pack(_as_bits("x", block, row)) for row, block in _blocks(x)]
    labels = [_as_bits("y", block, row) for row, block in _blocks(y.reshape(-1))]
    return Dataset(torch.cat(bits), torch.cat(labels), config.n_features)


def _accepted_pair(returned: object, config: TaskConfig) -> tuple[Tensor, Tensor]:
    """Checks everything but the values of what ``make_dataset`` returned."""
    function = "make_dataset"
    if isinstance(returned, Mapping):
        for key in ("x", "y"):
            if key not in returned:
                got = f"the keys {sorted(map(str, returned))}"
                raise RefusedError(function, f"must return a dict with {key!r}", got)
        pair = (returned["x"], returned["y"])
    elif isinstance(returned, tuple | list) and len(returned) == 2:
        pair = (returned[0], returned[1])
    else:
        length = f" of length {len(returned)}" if isinstance(returned, tuple | list) else ""
        expected = "must return (x, y), [x, y] or {'x': x, 'y': y}"
        raise RefusedError(function, expected, type(returned).__name__ + length)
    x, y = (_as_tensor(name, value) for name, value in zip("xy", pair, strict=True))
    if x.ndim != 2 or x.shape[1] != config.n_features:
        expected = f"x must have shape [num_examples, n_features={config.n_features}]"
        raise RefusedError(function, expected, list(x.shape))
    if len(x) != y.numel():
        expected = f"y must have as many rows as x, {len(x)}"
        raise RefusedError(function, expected, f"{y.numel()} (shape {list(y.shape)})")
    if not 1 <= len(x) <= config.max_train_examples:
        expected = f"x must have between 1 and max_train_examples={config.max_train_examples} rows"
        raise RefusedError(function, expected, len(x))
    return x, y


def _as_tensor(name: str, value: object) -> Tensor:
    try:
        tensor = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        expected = f"{name} must be a tensor, an array or nested lists of numbers"
        raise RefusedError("make_dataset", expected, f"{type(value).__name__} ({describe(error)})") from error
    if tensor.is_complex() or tensor.layout != torch.strided:
        expected = f"{name} must be dense and real"
        raise RefusedError("make_dataset", expected, f"{tensor.dtype}, {tensor.layout}")
    return tensor


def _blocks(values: Shaped[Tensor, "row ..."]) -> Iterator[tuple[int, Shaped[Tensor, "block ..."]]]:
    for row in range(0, len(values), _PACK_ROWS):
        yield row, values[row : row + _PACK_ROWS]


def _as_bits(name: str, block: Shaped[Tensor, "block ..."], first_row: int) -> UInt8[Tensor, "block ..."]:
    """Checks that a block of x or y, as float32, holds nothing but 0 and 1."""
    values = block.cpu()
    values = values.float() if values.is_floating_point() else values
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row, *feature = wrong.nonzero()[0].tolist()
        place = f"row {first_row + row}" + "".join(f", feature {index}" for index in feature)
        value = values[row, *feature].item()
        raise RefusedError("make_dataset", f"{name} must contain only 0 and 1", f"{value} at {place}")
    return values.to(torch.uint8)


def _shapes(shapes: Mapping[str, torch.Size]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
