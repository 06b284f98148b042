import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vecparity.task.network import build_network, flatten, parameter_shapes, unflatten


@given(st.integers(1, 70), st.integers(1, 40), st.lists(st.integers(1, 3), max_size=2))
def test_flatten_inverts_unflatten(n_features: int, hidden_width: int, leading: list[int]) -> None:
    shapes = parameter_shapes(n_features, hidden_width)
    params = torch.randn(*leading, sum(shape.numel() for shape in shapes.values()))
    views = unflatten(params, shapes)
    assert {name: view.shape[len(leading) :] for name, view in views.items()} == shapes
    if not leading:
        assert torch.equal(flatten(views), params)


def test_flat_parameters_are_torchs_own_order() -> None:
    network = build_network(5, 3)
    flat = flatten(dict(network.named_parameters()))
    assert torch.equal(flat, nn.utils.parameters_to_vector(network.parameters()))


def test_flat_parameters_go_by_name_and_not_by_the_mappings_order() -> None:
    parameters = dict(build_network(5, 3).named_parameters())
    assert torch.equal(flatten(dict(reversed(parameters.items()))), flatten(parameters))


def test_views_share_memory() -> None:
    params = torch.zeros(2, 3 * 4 + 4 + 4 + 1)
    unflatten(params, parameter_shapes(3, 4))["0.weight"][1] = 1
    assert params.sum() == 12
