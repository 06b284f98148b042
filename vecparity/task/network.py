"""The network that every run trains: ``Linear(N, W) -> ReLU -> Linear(W, 1) -> Sigmoid`` (contract section 1)."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn


def build_network(n_features: int, hidden_width: int) -> nn.Sequential:
    """Builds the network with torch's default initialisation, drawn from the global generator."""
    return nn.Sequential(nn.Linear(n_features, hidden_width), nn.ReLU(), nn.Linear(hidden_width, 1), nn.Sigmoid())


def build_skeleton(n_features: int, hidden_width: int) -> nn.Sequential:
    """Builds the network without values: it draws nothing, and the caller passes parameters with each call."""
    with torch.device("meta"):
        return build_network(n_features, hidden_width)


@cache
def parameter_shapes(n_features: int, hidden_width: int) -> Mapping[str, torch.Size]:
    """Returns names and shapes of the network's parameters, in the order of the flat vector."""
    skeleton = build_skeleton(n_features, hidden_width)
    return MappingProxyType({name: parameter.shape for name, parameter in skeleton.named_parameters()})


def flatten(parameters: Mapping[str, Tensor]) -> Float[Tensor, " param"]:
    """Copies named parameters into one vector, in the order of `parameter_shapes`, not of the mapping."""
    return torch.cat([parameters[name].detach().reshape(-1) for name in _NAMES])


def unflatten(params: Float[Tensor, "*run param"], shapes: Mapping[str, torch.Size]) -> dict[str, Float[Tensor, "..."]]:
    """Views flat vectors as named parameters, keeping leading axes; the inverse of `flatten`."""
    parts = params.split([shape.numel() for shape in shapes.values()], dim=-1)
    return {name: part.unflatten(-1, shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


_NAMES = tuple(parameter_shapes(1, 1))
