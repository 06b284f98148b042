import hashlib

import numpy as np
import pytest
import torch
from conftest import golden
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vecparity.task import dataset
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import PublicSeeds

TEST_SETS = golden("seeding")["test_sets"]


def sha256(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


def parse(case: str) -> tuple[int, int, int]:
    n_features, seed, secret = (int(part.lstrip("nsedcrt")) for part in case.split("_"))
    return n_features, seed, secret


@pytest.mark.parametrize("case", TEST_SETS)
def test_test_sets_are_the_originals(case: str) -> None:
    n_features, seed, index = parse(case)
    config = TaskConfig(n_features=n_features)
    seeds = PublicSeeds(seed)
    test_set_seed = seeds.test_set_seed(config, index)
    made = dataset.make_test_set(config, seeds.secrets(config)[index], test_set_seed)
    x = dataset.unpack(made.bits, n_features, torch.float32).to(torch.uint8)
    expected = TEST_SETS[case]
    assert test_set_seed == expected["seed"]
    assert "".join(map(str, x[0].tolist())) == expected["first_row"]
    assert sha256(x) == expected["x_uint8_sha256"]
    assert sha256(made.labels) == expected["y_uint8_sha256"]
    assert made.positive_rate == expected["positives"] / made.num_examples


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 200)).flatmap(
        lambda s: arrays(np.uint8, s, elements=st.integers(0, 1))
    )
)
def test_unpack_inverts_pack(x: np.ndarray) -> None:
    n_features = x.shape[1]
    bits = dataset.pack(torch.from_numpy(x))
    assert bits.shape == (len(x), -(-n_features // 64))
    for dtype in (torch.float32, torch.float64):
        torch.testing.assert_close(
            dataset.unpack(bits, n_features, dtype), torch.from_numpy(x).to(dtype), rtol=0, atol=0
        )


@given(arrays(np.int64, st.tuples(st.integers(1, 20), st.integers(1, 4))))
def test_pack_inverts_unpack(words: np.ndarray) -> None:
    bits = torch.tensor(words)
    x = dataset.unpack(bits, 64 * bits.shape[1], torch.float32)
    assert torch.equal(dataset.pack(x.to(torch.uint8)), bits)


def test_feature_i_is_bit_i_of_its_word() -> None:
    bits = dataset.pack(torch.eye(130, dtype=torch.uint8))
    for feature, row in enumerate(bits.tolist()):
        expected = [0, 0, 0]
        word, bit = divmod(feature, 64)
        expected[word] = -(1 << 63) if bit == 63 else 1 << bit  # a signed word holds the pattern
        assert row == expected


def test_unpack_keeps_leading_axes() -> None:
    bits = torch.arange(24).reshape(2, 3, 4, 1)
    assert dataset.unpack(bits, 5, torch.float32).shape == (2, 3, 4, 5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.bool])
def test_parity_labels(dtype: torch.dtype) -> None:
    x = torch.tensor([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 0]]).to(dtype)
    labels = dataset.parity_labels(x, (0, 2))
    assert labels.dtype == torch.float32
    assert labels.tolist() == [1, 0, 0, 0]


def test_concatenate_keeps_the_order() -> None:
    sets = [dataset.Dataset(torch.tensor([[i], [i]]), torch.tensor([i, 0], dtype=torch.uint8), 3) for i in (1, 0)]
    joined = dataset.concatenate(sets)
    assert joined.bits.tolist() == [[1], [1], [0], [0]]
    assert joined.labels.tolist() == [1, 0, 0, 0]
