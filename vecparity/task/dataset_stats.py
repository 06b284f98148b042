"""Statistics of a dataset: density per feature, constant features, and patterns and parity of a secret's bits."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float64, Int64, Num
from torch import Tensor

from vecparity.task import rows
from vecparity.task.config import Secret
from vecparity.task.dataset import Dataset, pack, used_features

# Rows per block when computing parities: intermediate values stay in cache.
_BLOCK_ROWS = 1 << 16


def density(dataset: Dataset) -> Float64[Tensor, " feature"]:
    """Returns the share of rows in which each feature is on."""
    bytes_ = dataset.bits.contiguous().numpy().view(np.uint8)
    # Count byte values, of which there are only 256: this takes a tenth of the time of counting bits.
    counts = np.stack([np.bincount(column, minlength=256) for column in bytes_.T])
    bits_of_values = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    on = (counts @ bits_of_values.astype(np.int64)).reshape(-1)[: dataset.n_features]
    return torch.from_numpy(on / dataset.num_examples)


def constant_features(dataset: Dataset) -> list[int]:
    """Returns the features that are the same in all rows, ascending."""
    always_on = torch.from_numpy(np.bitwise_and.reduce(dataset.bits.numpy(), axis=0))
    ever_on = used_features(dataset)
    same = ~(always_on ^ ever_on)
    features: list[int] = np.flatnonzero(_features(same[None], dataset.n_features)[0]).tolist()
    return features


def pattern_counts(dataset: Dataset, secret: Secret) -> Int64[Tensor, " pattern"]:
    """Returns the number of rows with each pattern of the secret's bits.

    Args:
        dataset: Any rows.
        secret: K features.

    Returns:
        The counts of the patterns that occur, at most 2^K of them, in arbitrary order.
    """
    ascending = np.sort(rows.keys(dataset.bits & _mask(dataset, secret)))
    return torch.from_numpy(np.diff(rows.first_of_each(ascending), append=len(ascending)))


def parity_rate(dataset: Dataset, secret: Secret) -> float:
    """Returns the share of rows whose label is the parity of their bits in the secret."""
    labels = dataset.labels.numpy()
    mask = _mask(dataset, secret).numpy().view(np.uint64)
    words = dataset.bits.numpy().view(np.uint64)
    agreeing = sum(
        int((_parities(words[block] & mask) == labels[block]).sum()) for block in _blocks(dataset.num_examples)
    )
    return agreeing / dataset.num_examples


def _parities(words: Num[np.ndarray, "row word"]) -> Num[np.ndarray, " row"]:
    """Returns the parity of each row's bits, folding words in half until one bit is left."""
    folded: np.ndarray = np.bitwise_xor.reduce(words, axis=1)
    for half in (32, 16, 8, 4, 2, 1):
        folded ^= folded >> np.uint64(half)
    return folded & np.uint64(1)


def _blocks(num_rows: int) -> Iterator[slice]:
    return (slice(first, first + _BLOCK_ROWS) for first in range(0, num_rows, _BLOCK_ROWS))


def _mask(dataset: Dataset, secret: Secret) -> Int64[Tensor, "1 word"]:
    """Returns a row in which only the secret's features are on."""
    features = torch.zeros((1, dataset.n_features), dtype=torch.uint8)
    features[:, list(secret)] = 1
    return pack(features)


def _features(bits: Int64[Tensor, "row word"], n_features: int) -> Num[np.ndarray, "row feature"]:
    """Returns rows as one byte per feature."""
    bytes_ = bits.contiguous().numpy().view(np.uint8)
    return np.unpackbits(bytes_, axis=1, bitorder="little")[:, :n_features]
