import torch
from hypothesis import given
from hypothesis import strategies as st

from vecparity.task.dataset import Dataset, pack, parity_labels
from vecparity.task.dataset_stats import constant_features, density, parity_rate, pattern_counts


@given(st.data())
def test_against_counting(data: st.DataObject) -> None:
    n_features = data.draw(st.integers(1, 130))
    rows = data.draw(st.integers(1, 40))
    secret = tuple(sorted(data.draw(st.sets(st.integers(0, n_features - 1), min_size=1, max_size=n_features))))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    x = (torch.rand((rows, n_features), generator=generator) < 0.2).to(torch.uint8)
    labels = torch.randint(0, 2, (rows,), generator=generator, dtype=torch.uint8)
    dataset = Dataset(pack(x), labels, n_features)
    torch.testing.assert_close(density(dataset), x.double().mean(dim=0))
    expected: dict[tuple[int, ...], int] = {}
    for row in x[:, list(secret)].tolist():
        expected[tuple(row)] = expected.get(tuple(row), 0) + 1
    assert sorted(pattern_counts(dataset, secret).tolist()) == sorted(expected.values())
    assert constant_features(dataset) == [i for i, column in enumerate(x.T.tolist()) if len(set(column)) == 1]
    agreeing = [sum(row) % 2 == label for row, label in zip(x[:, list(secret)].tolist(), labels.tolist(), strict=True)]
    assert parity_rate(dataset, secret) == sum(agreeing) / rows


def test_parities_of_more_rows_than_one_block() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 2, ((1 << 17) + 5, 70), generator=generator, dtype=torch.uint8)
    labels = parity_labels(x, (1, 30, 66)).to(torch.uint8)
    labels[[7, 1 << 16, -1]] ^= 1
    dataset = Dataset(pack(x), labels, 70)
    assert parity_rate(dataset, (1, 30, 66)) == 1 - 3 / len(x)
    assert constant_features(dataset) == []


def test_densities_are_of_all_rows_however_many_and_however_ordered() -> None:
    patterns = torch.cartesian_prod(*[torch.arange(2)] * 8).repeat(2048, 1)
    dataset = Dataset(pack(patterns.to(torch.uint8)), torch.zeros(len(patterns), dtype=torch.uint8), 8)
    assert density(dataset).tolist() == [0.5] * 8
