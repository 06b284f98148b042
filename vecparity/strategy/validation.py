"""Checks of the networks, datasets and hyperparameters that a strategy returns. Source: contract section 3."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise

import torch
from jaxtyping import Float32, Int64, Shaped, UInt8
from torch import Tensor, nn

from vecparity.errors import describe
from vecparity.task import network
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import Dataset, pack

HYPERPARAMETERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "lr": (lambda lr: 0 < lr < math.inf, "finite and above 0"),
    "wd": (lambda wd: 0 <= wd < math.inf, "finite and at least 0"),
    "beta1": (lambda beta: 0 < beta < 1, "between 0 and 1, both excluded"),
    "beta2": (lambda beta: 0 < beta < 1, "between 0 and 1, both excluded"),
}
# What torch.optim.AdamW calls hyperparameters that have other names here.
_TORCHS_NAMES = {"weight_decay", "betas"}
# Rows checked and packed at a time: bounds the memory used beyond the dataset itself.
_PACK_ROWS = 1 << 18


class RefusedError(Exception):
    """A strategy function left or returned something that the contract refuses.

    Attributes:
        function: The function's name.
    """

    def __init__(self, function: str, expected: str, actual: object) -> None:
        super().__init__(f"{function}: {expected}, got {actual}")
        self.function = function


def accepted_parameters(model: nn.Sequential, config: TaskConfig) -> Float32[Tensor, " param"]:
    """Returns the parameters that ``init_model`` left, as one vector on the CPU.

    Raises:
        RefusedError: The network is no longer the fixed one, or a parameter is not finite.
    """
    expected = network.parameter_shapes(config.n_features, config.hidden_width)
    fixed = _fixed_network(config.n_features, config.hidden_width)
    if _modules(model) != _modules(fixed):
        actual = " -> ".join(type(layer).__name__ for layer in model) + f" in a {type(model).__name__}"
        if [type(layer) for layer in model] == [type(layer) for layer in fixed]:
            actual += f" named {', '.join(name for name, _ in model.named_children())}"
        raise RefusedError("init_model", "must leave Linear -> ReLU -> Linear -> Sigmoid in place", actual)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for part in (*model.modules(), *parameters.values()):
        # Hooks of state_dict, which removed parametrizations leave behind, play no part in training.
        kinds = [key for key in (*vars(part), "_backward_hooks") if key.endswith("_hooks") and "state_dict" not in key]
        hooks = [key for key in kinds if getattr(part, key, None)]
        if hooks or "forward" in vars(part):
            actual = f"{hooks[0] if hooks else 'a replaced forward'} on {type(part).__name__}"
            raise RefusedError("init_model", "must set parameters only, without hooks", actual)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    if shapes != expected:
        raise RefusedError("init_model", f"must leave parameters of shapes {_shapes(expected)}", _shapes(shapes))
    for name, parameter in parameters.items():
        if type(parameter) is not nn.Parameter:
            actual = type(parameter).__name__
            raise RefusedError("init_model", f"must leave {name} a Parameter of torch's own class", actual)
        if parameter.dtype != torch.float32 or not parameter.requires_grad:
            actual = f"{parameter.dtype}, requires_grad={parameter.requires_grad}"
            raise RefusedError("init_model", f"must leave {name} trainable and torch.float32", actual)
        finite = parameter.isfinite()
        if not finite.all():
            value = parameter.detach()[~finite][0].item()
            raise RefusedError("init_model", f"must leave {name} finite", value)
    if _share_elements(list(parameters.values())):
        raise RefusedError("init_model", "must leave parameters that share no memory", "some that share it")
    return network.flatten(parameters).cpu()


@cache
def _fixed_network(n_features: int, hidden_width: int) -> nn.Sequential:
    return network.build_skeleton(n_features, hidden_width)


def accepted_hyperparameters(returned: object) -> OptimizerConfig:
    """Returns the hyperparameters that ``get_optimizer_config`` returned.

    Raises:
        RefusedError: A hyperparameter is missing or invalid.
    """
    function = "get_optimizer_config"
    if not isinstance(returned, Mapping):
        raise RefusedError(function, "must return a dict", type(returned).__name__)
    values = {}
    for name, (is_valid, expected) in HYPERPARAMETERS.items():
        if name not in returned:
            actual = f"the keys {sorted(map(str, returned))}"
            if _TORCHS_NAMES & set(map(str, returned)):
                actual += f" (torch's names: here they are {', '.join(HYPERPARAMETERS)})"
            raise RefusedError(function, f"must return a dict with {name!r}", actual)
        try:
            values[name] = float(returned[name])
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise RefusedError(function, f"{name} must be a number", repr(returned[name])) from error
        if not is_valid(values[name]):
            raise RefusedError(function, f"{name} must be {expected}", values[name])
    return OptimizerConfig(**values)


def accepted_dataset(returned: object, config: TaskConfig) -> Dataset:
    """Checks and packs the dataset that ``make_dataset`` returned.

    Raises:
        RefusedError: The contract does not accept the dataset.
    """
    x, y = _accepted_pair(returned, config)
    bits = [pack(_as_bits("x", block, row)) for row, block in _blocks(x)]
    labels = [_as_bits("y", block, row) for row, block in _blocks(y.reshape(-1))]
    return Dataset(torch.cat(bits), torch.cat(labels), config.n_features)


def _accepted_pair(returned: object, config: TaskConfig) -> tuple[Tensor, Tensor]:
    """Checks types and shapes of the pair that ``make_dataset`` returned; `_as_bits` checks the values."""
    function = "make_dataset"
    if isinstance(returned, Mapping):
        for key in ("x", "y"):
            if key not in returned:
                actual = f"the keys {sorted(map(str, returned))}"
                raise RefusedError(function, f"must return a dict with {key!r}", actual)
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


def _modules(model: nn.Module) -> list[tuple[str, type[nn.Module]]]:
    """Returns names and types in calling order, which is the order of a mapping and can be changed."""
    return [(name, type(module)) for name, module in model.named_modules()]


def _share_elements(parameters: Sequence[nn.Parameter]) -> bool:
    """Tells whether parameters share memory, with each other or within one; an in-place update would change both."""
    spans = sorted((parameter.data_ptr(), parameter.nbytes) for parameter in parameters)
    are_apart = all(begin + size <= other for (begin, size), (other, _) in pairwise(spans))
    if are_apart and all(parameter.is_contiguous() for parameter in parameters):  # the usual case, and cheap to test
        return False
    addresses = torch.cat([_addresses(parameter) for parameter in parameters])
    return len(addresses.unique()) < len(addresses)


def _addresses(tensor: Tensor) -> Int64[Tensor, " element"]:
    """Returns the memory address of each element, in units of an element."""
    addresses = torch.tensor([tensor.data_ptr() // tensor.element_size()])
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        addresses = (addresses[:, None] + torch.arange(length) * stride).reshape(-1)
    return addresses


def _blocks(values: Shaped[Tensor, "row ..."]) -> Iterator[tuple[int, Shaped[Tensor, "block ..."]]]:
    for row in range(0, len(values), _PACK_ROWS):
        yield row, values[row : row + _PACK_ROWS]


def _as_bits(name: str, block: Shaped[Tensor, "block ..."], first_row: int) -> UInt8[Tensor, "block ..."]:
    """Converts a block of x or y to bytes, after checking that its values, as float32, are 0 or 1."""
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
