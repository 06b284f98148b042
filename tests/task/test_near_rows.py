import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from vecparity.task import near_rows, rows
from vecparity.task.dataset import Dataset, pack


def dataset_of(x: np.ndarray) -> Dataset:
    return Dataset(pack(torch.from_numpy(x)), torch.zeros(len(x), dtype=torch.uint8), x.shape[1])


def with_flips(x: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Rows with up to four bits flipped, not always different ones."""
    x = x.copy()
    for row in x:
        for feature in draw.integers(0, x.shape[1], draw.integers(0, 5)):
            row[feature] ^= 1
    return x


@given(st.sampled_from([1, 2, 3, 20, 63, 64, 65, 130, 200]), st.integers(1, 60), st.integers(1, 60), st.randoms())
@pytest.mark.parametrize("rows_at_once", [1 << 20, 7])
def test_rows_near_others_are_those_that_all_pairs_show(
    rows_at_once: int, n_features: int, num_test_rows: int, num_rows: int, rng: object
) -> None:
    draw = np.random.default_rng(rng.getrandbits(32))  # type: ignore[attr-defined]
    pool = draw.integers(0, 2, (20, n_features), dtype=np.uint8)
    test_rows, train_rows = (
        with_flips(pool[draw.integers(0, 20, num_test_rows)], draw),
        pool[draw.integers(0, 20, num_rows)],
    )
    nearest = (test_rows[:, None] != train_rows[None]).sum(axis=2).min(axis=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(near_rows, "_ROWS_AT_ONCE", rows_at_once)
        found = near_rows.overlaps(dataset_of(test_rows), dataset_of(train_rows))
    num_distinct = rows.num_distinct(rows.sorted_keys(dataset_of(train_rows)))
    volumes = (1, 1 + n_features, 1 + n_features + n_features * (n_features - 1) // 2)
    for flips, (overlap, volume) in enumerate(zip(found, volumes, strict=True)):
        chance = min(1.0, num_distinct * volume / 2.0**n_features)
        assert (overlap.flips, overlap.compared) == (flips, num_test_rows)
        assert overlap.rows == (nearest <= flips).sum()
        assert overlap.expected == pytest.approx(chance * num_test_rows)
        assert overlap.p_value == pytest.approx(binom.sf(overlap.rows - 1, num_test_rows, chance), rel=1e-6)


def test_where_there_are_too_many_pairs_a_sample_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    x = draw.integers(0, 2, (2000, 20), dtype=np.uint8)
    monkeypatch.setattr(near_rows, "_MOST_PAIRS", 1e4)
    found = near_rows.overlaps(dataset_of(x), dataset_of(x[::2]))
    assert {overlap.compared for overlap in found} == {found[0].compared}
    assert 100 < found[0].compared < 1000
    assert 0.3 < found[0].rows / found[0].compared < 0.7
    assert found[0].p_value < 1e-6
    others = [near_rows.overlaps(dataset_of(x), dataset_of(x[::2]))[0].rows for _ in range(20)]
    assert len(set(others)) > 1  # nobody can foresee the sample


def test_by_chance_few_honest_rows_have_small_p_values() -> None:
    """At larger distances fewer than stated: a row may be near several others."""
    draw = np.random.default_rng(2)
    samples = [draw.integers(0, 2, (2, 300, 16), dtype=np.uint8) for _ in range(500)]
    p_values = [[near.p_value for near in near_rows.overlaps(*map(dataset_of, sample))] for sample in samples]
    shares = [sum(p <= 0.1 for p in of_distance) for of_distance in zip(*p_values, strict=True)]
    assert shares[0] > 0
    assert all(binom.sf(share - 1, len(samples), 0.1) > 1e-3 for share in shares)
