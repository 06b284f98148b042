"""Parity labels, and datasets held as packed bits: ``ceil(N / 64)`` 64-bit words a row and one byte a label."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Float32, Int64, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import embedding

from vecparity.task.config import Secret, TaskConfig

_WORD_BITS = 64
_BYTE_BITS = 8
# The words of a test set that is kept: 512 KiB, four times those of the benchmark.
_MOST_WORDS_KEPT = 1 << 16


@dataclass(frozen=True)
class Dataset:
    """Labelled rows of bits.

    Attributes:
        bits: The rows, feature ``i`` at bit ``i % 64`` of word ``i // 64`` (int64 holds the pattern; torch has no
            shifts of unsigned words). Bits past ``n_features`` are 0.
        labels: 0 or 1.
        n_features: N, the number of bits of a row that are features.
    """

    bits: Int64[Tensor, "row word"]
    labels: UInt8[Tensor, " row"]
    n_features: int

    @property
    def num_examples(self) -> int:
        return len(self.labels)

    @property
    def positive_rate(self) -> float:
        """The share of rows with label 1."""
        return float(self.labels.sum(dtype=torch.int64)) / self.num_examples

    def to(self, device: torch.device) -> "Dataset":
        """Returns the dataset on a device."""
        return Dataset(self.bits.to(device), self.labels.to(device), self.n_features)


def parity_labels(x: Shaped[Tensor, "row feature"], secret: Secret) -> Float32[Tensor, " row"]:
    """Returns the parity of each row's bits in ``secret``, 0.0 or 1.0 (contract section 1)."""
    return (x[:, list(secret)].sum(dim=1) % 2).to(torch.float32)


def num_words(n_features: int) -> int:
    """Returns the number of 64-bit words that hold a row of ``n_features`` bits."""
    return -(-n_features // _WORD_BITS)


def pack(x: UInt8[Tensor, "row feature"]) -> Int64[Tensor, "row word"]:
    """Packs rows of 0s and 1s (on the CPU) into 64-bit words; the inverse of `unpack`."""
    rows, n_features = x.shape
    packed = np.zeros((rows, num_words(n_features) * _WORD_BITS // _BYTE_BITS), dtype=np.uint8)
    packed[:, : -(-n_features // _BYTE_BITS)] = np.packbits(x.numpy(), axis=1, bitorder="little")
    return torch.from_numpy(packed.view("<i8").astype(np.int64, copy=False))


def unpack(
    bits: Int64[Tensor, "*batch word"], n_features: int, dtype: torch.dtype
) -> Float[Tensor, "*batch {n_features}"]:
    """Unpacks words into 0.0s and 1.0s, on any device; the inverse of `pack`.

    Looks up each byte in a table of 256 rows of 8, which takes half the time of shifting and masking whole words.
    """
    bytes_ = bits.contiguous().view(torch.uint8).int()
    x = embedding(bytes_, _bits_of_byte(bits.device, dtype))
    return rearrange(x, "... byte bit -> ... (byte bit)")[..., :n_features]


@cache
def _bits_of_byte(device: torch.device, dtype: torch.dtype) -> Float[Tensor, "256 8"]:
    byte = torch.arange(256, device=device)
    bit = torch.arange(_BYTE_BITS, device=device)
    return (rearrange(byte, "byte -> byte 1") >> bit & 1).to(dtype)


def used_features(dataset: Dataset) -> Int64[Tensor, " word"]:
    """Returns the features that are on in at least one row, packed like a row."""
    return torch.from_numpy(np.bitwise_or.reduce(dataset.bits.numpy(), axis=0))


def concatenate(datasets: Sequence[Dataset]) -> Dataset:
    """Joins datasets of equal ``n_features`` into one pool, in order."""
    return Dataset(
        torch.cat([dataset.bits for dataset in datasets]),
        torch.cat([dataset.labels for dataset in datasets]),
        datasets[0].n_features,
    )


def make_test_set(config: TaskConfig, secret: Secret, seed: int) -> Dataset:
    """Draws the uniform test set of one secret (contract section 2).

    Drawing one takes 4 ms, and many evaluations have the same: the last ones are kept unless they are large.
    """
    is_small = config.test_set_size * num_words(config.n_features) <= _MOST_WORDS_KEPT
    draw = _test_set if is_small else _test_set.__wrapped__
    return draw(config.test_set_size, config.n_features, secret, seed)


def make_fresh_test_set(config: TaskConfig, secret: Secret, seed: int) -> Dataset:
    """Draws a uniform test set for an audit, as large as the secret's own, in a fiftieth of the time."""
    words, size = num_words(config.n_features), config.test_set_size
    x = np.random.default_rng(seed).integers(0, 2**64, (size, words), dtype=np.uint64)
    last_bits = config.n_features - (words - 1) * _WORD_BITS
    x[:, -1] >>= np.uint64(_WORD_BITS - last_bits)
    masks = np.zeros(words, dtype=np.uint64)
    for feature in secret:
        masks[feature // _WORD_BITS] |= np.uint64(1 << feature % _WORD_BITS)
    labels = np.bitwise_count(x & masks).sum(axis=1) % 2
    return Dataset(torch.from_numpy(x.view(np.int64)), torch.from_numpy(labels.astype(np.uint8)), config.n_features)


@lru_cache(maxsize=64)
def _test_set(size: int, n_features: int, secret: Secret, seed: int) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (size, n_features), generator=generator, dtype=torch.uint8)  # the same draws as int64's
    return Dataset(pack(x), parity_labels(x, secret).to(torch.uint8), n_features)
