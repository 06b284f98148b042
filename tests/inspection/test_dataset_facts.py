import torch

from vecparity.inspection.dataset_facts import Patterns, dataset_facts
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import Dataset, make_test_set, pack, parity_labels
from vecparity.task.near_rows import Overlap

CONFIG = TaskConfig(n_features=70, secret_size=3, num_hidden_secrets=2, batch_size=4, max_steps=9, test_set_size=50)
SECRET = (1, 64, 69)


def dataset_of(x: torch.Tensor, labels: torch.Tensor) -> Dataset:
    return Dataset(pack(x.to(torch.uint8)), labels.to(torch.uint8), CONFIG.n_features)


def test_of_ten_rows() -> None:
    x = torch.zeros(10, 70)
    x[:, 1] = 1
    x[:5, 64] = 1
    x[9, 40] = 1
    labels = parity_labels(x, SECRET)
    labels[0] = 1 - labels[0]
    dataset = dataset_of(x, labels)
    facts = dataset_facts(CONFIG, 1, SECRET, dataset, make_test_set(CONFIG, SECRET, 1), 0.5)
    assert (facts.secret_index, facts.secret, facts.seconds) == (1, [1, 64, 69], 0.5)
    assert (facts.num_examples, facts.distinct_rows) == (10, 3)
    assert facts.positive_rate == labels.sum().item() / 10
    assert facts.parity_rate == 0.9
    assert facts.patterns == Patterns(covered=2, possible=8, rarest=0.5, commonest=0.5)
    assert facts.constant_features == [feature for feature in range(70) if feature not in (40, 64)]
    assert facts.constant_secret_features == [1, 69]
    assert facts.overlaps[0] == Overlap(0, 50, 0, 50 * 3 / 2**70, 1.0)
    assert [overlap.flips for overlap in facts.overlaps] == [0, 1, 2]
    assert (facts.batches_per_epoch, facts.last_batch, facts.epochs) == (3, 2, 3.0)


def test_rows_of_the_test_set_are_counted() -> None:
    test_set = make_test_set(CONFIG, SECRET, 1)
    dataset = Dataset(test_set.bits[:8], test_set.labels[:8], 70)
    facts = dataset_facts(CONFIG, 0, SECRET, dataset, test_set, 0.0)
    assert [overlap.rows for overlap in facts.overlaps] == [8, 8, 8]
    assert facts.overlaps[0].p_value < 1e-30
    assert (facts.batches_per_epoch, facts.last_batch) == (2, 4)


def test_the_secret_may_be_all_bits() -> None:
    config = TaskConfig(n_features=130, secret_size=130, num_hidden_secrets=1)
    secret = tuple(range(130))
    x = torch.eye(130, dtype=torch.uint8)
    dataset = Dataset(pack(x), parity_labels(x, secret).to(torch.uint8), 130)
    facts = dataset_facts(config, 0, secret, dataset, make_test_set(config, secret, 1), 0.0)
    assert facts.patterns == Patterns(covered=130, possible=2**130, rarest=1 / 130, commonest=1 / 130)
    assert facts.parity_rate == facts.positive_rate == 1
