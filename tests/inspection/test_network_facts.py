import math

import pytest
import torch
from torch import nn

from vecparity.inspection.network_facts import NetworkFacts, Propagated, network_facts, propagate
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import Dataset, pack, unpack
from vecparity.task.network import build_network, flatten

CONFIG = TaskConfig(n_features=6, secret_size=2, hidden_width=8, num_hidden_secrets=2, test_set_size=2_500)


def dataset_of(num_rows: int, seed: int) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (num_rows, 6), generator=generator, dtype=torch.uint8)
    return Dataset(pack(x), torch.randint(0, 2, (num_rows,), generator=generator, dtype=torch.uint8), 6)


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(6, 8)


def facts_of(models: list[nn.Sequential], dataset: Dataset, test_set: Dataset) -> NetworkFacts:
    return network_facts([propagated(models, dataset, test_set)], 0)


def propagated(models: list[nn.Sequential], dataset: Dataset, test_set: Dataset) -> Propagated:
    params = torch.stack([flatten(dict(model.named_parameters())) for model in models])
    return propagate(CONFIG, params, dataset, test_set)


def test_outputs_are_those_of_the_network() -> None:
    models, dataset, test_set = [network(1), network(2)], dataset_of(300, 1), dataset_of(2_500, 2)
    facts = facts_of(models, dataset, test_set)
    with torch.no_grad():
        p = torch.stack([model(unpack(test_set.bits, 6, torch.float32)).squeeze(-1) for model in models]).double()
    y = test_set.labels.double().expand_as(p)
    expected = torch.quantile(p, torch.tensor([0, 0.05, 0.5, 0.95, 1], dtype=torch.float64)).tolist()
    assert facts.outputs is not None
    outputs = facts.outputs
    assert [outputs.lowest, outputs.p05, outputs.median, outputs.p95, outputs.highest] == pytest.approx(expected)
    assert outputs.loss == pytest.approx(nn.BCELoss()(p, y).item())
    assert outputs.accuracy == ((p >= 0.5) == (y >= 0.5)).double().mean()
    assert (facts.num_runs, facts.train_rows, facts.not_finite, facts.saturated) == (2, 300, 0, 0)


def test_units_that_are_never_on_and_always_on() -> None:
    model = network()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        parameters["0.weight"].zero_()
        parameters["0.bias"].copy_(torch.tensor([-1, 0, 1, 1, 0.0, 0, 0, 0]))
        for unit in (4, 5, 6, 7):
            parameters["0.weight"][unit, 0] = 1
    facts = facts_of([model, network()], dataset_of(300, 1), dataset_of(2_500, 2))
    other = facts_of([network()], dataset_of(300, 1), dataset_of(2_500, 2))
    assert facts.dead_units == (2 / 8 + other.dead_units) / 2
    assert facts.always_on_units == (2 / 8 + other.always_on_units) / 2
    assert facts.runs_all_dead == 0


def test_units_of_large_datasets_are_looked_at_on_rows_drawn_at_random() -> None:
    """Evenly spaced ones would all be zero here, and every unit dead."""
    x = torch.zeros((10_000, 6), dtype=torch.uint8)
    x[1::3] = 1
    dataset = Dataset(pack(x), torch.zeros(10_000, dtype=torch.uint8), 6)
    model = network()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        parameters["0.bias"].fill_(-1)
        parameters["0.weight"].fill_(1)
    facts = facts_of([model], dataset, dataset_of(100, 2))
    assert facts.train_rows == 4096
    assert facts.dead_units == 0


def test_probabilities_that_round_to_0_or_1() -> None:
    model = network()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        parameters["2.bias"].fill_(100)
    assert facts_of([model, network()], dataset_of(300, 1), dataset_of(2_500, 2)).saturated == 0.5


def test_outputs_that_are_no_numbers() -> None:
    model = network()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        parameters["0.weight"].fill_(3e38)
        parameters["2.weight"][0, 0], parameters["2.weight"][0, 1:] = 3e38, -3e38
    facts = facts_of([network(), model], dataset_of(300, 1), dataset_of(2_500, 2))
    assert facts.not_finite == 1
    assert facts.outputs is None


def test_several_secrets_with_datasets_of_several_sizes() -> None:
    first = propagated([network(1)], dataset_of(300, 1), dataset_of(2_500, 2))
    second = propagated([network(2)], dataset_of(30, 3), dataset_of(2_500, 4))
    facts = network_facts([first, second], 1)
    assert (facts.num_runs, facts.train_rows) == (2, 300)
    assert facts.untouched == 1
    losses = [each.outputs.loss for each in (network_facts([one], 0) for one in (first, second)) if each.outputs]
    assert facts.outputs is not None
    assert facts.outputs.loss == pytest.approx(math.fsum(losses) / 2)
