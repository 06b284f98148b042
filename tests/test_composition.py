import torch
from hypothesis import given
from hypothesis import strategies as st

from vecparity.composition import density, pattern_counts
from vecparity.data import Dataset, pack


@given(st.data())
def test_against_counting(data: st.DataObject) -> None:
    n_features = data.draw(st.integers(1, 130))
    rows = data.draw(st.integers(1, 40))
    secret = tuple(sorted(data.draw(st.sets(st.integers(0, n_features - 1), min_size=1, max_size=n_features))))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    x = (torch.rand((rows, n_features), generator=generator) < 0.2).to(torch.uint8)
    dataset = Dataset(pack(x), torch.zeros(rows, dtype=torch.uint8), n_features)
    torch.testing.assert_close(density(dataset), x.double().mean(dim=0))
    expected: dict[tuple[int, ...], int] = {}
    for row in x[:, list(secret)].tolist():
        expected[tuple(row)] = expected.get(tuple(row), 0) + 1
    assert sorted(pattern_counts(dataset, secret).tolist()) == sorted(expected.values())


def test_densities_of_many_rows_are_those_of_evenly_spaced_ones() -> None:
    rows = (1 << 19) + 3
    x = torch.zeros((rows, 2), dtype=torch.uint8)
    x[::3, 0] = 1
    x[1] = 1  # between the third of rows that are looked at
    dataset = Dataset(pack(x), torch.zeros(rows, dtype=torch.uint8), 2)
    assert density(dataset).tolist() == [1.0, 0.0]
