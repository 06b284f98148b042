import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from vecparity.task import rows
from vecparity.task.dataset import Dataset, pack


def dataset_of(x: np.ndarray) -> Dataset:
    return Dataset(pack(torch.from_numpy(x)), torch.zeros(len(x), dtype=torch.uint8), x.shape[1])


@given(st.sampled_from([3, 63, 64, 65, 130]), st.integers(1, 40), st.integers(0, 99))
def test_against_sets(n_features: int, num_rows: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    pool = draw.integers(0, 2, (20, n_features), dtype=np.uint8)
    train_rows = pool[draw.integers(0, 20, num_rows)]
    known = set(map(tuple, train_rows.tolist()))
    ascending = rows.sorted_keys(dataset_of(train_rows))
    assert rows.num_distinct(ascending) == len(known)


def test_the_order_of_words_and_every_bit_of_them_tell_rows_apart() -> None:
    x = np.concatenate([np.eye(192, dtype=np.uint8), np.zeros((1, 192), np.uint8)])
    assert rows.num_distinct(rows.sorted_keys(dataset_of(x))) == 193
