"""What a dataset is made of: how dense its features are, and which patterns of a secret's bits it shows."""

from typing import cast

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from vecparity.data import Dataset, pack
from vecparity.spec import Secret

# Rows that densities are taken from: all of them, or as many as this, evenly spaced.
_MOST_ROWS = 1 << 18


def density(dataset: Dataset) -> Float64[Tensor, " feature"]:
    """Returns the share of rows in which each feature is on; of 262 144 evenly spaced rows, where there are more."""
    stride = -(-dataset.num_examples // _MOST_ROWS)
    rows = dataset.bits[::stride].contiguous().numpy().view(np.uint8)
    bits = np.unpackbits(rows, axis=1, bitorder="little")[:, : dataset.n_features]
    return torch.from_numpy(bits.mean(axis=0, dtype=np.float64))


def pattern_counts(dataset: Dataset, secret: Secret) -> Int64[Tensor, " pattern"]:
    """Returns in how many rows each pattern of the secret's bits occurs.

    Args:
        dataset: Any rows.
        secret: K features.

    Returns:
        The counts of those that do occur, at most 2^K, ascending by the pattern read as a binary number, the secret's
        last feature first.
    """
    features = torch.zeros(dataset.n_features, dtype=torch.uint8)
    features[list(secret)] = 1
    masked = dataset.bits & pack(features[None])
    _, counts = torch.unique(masked[:, 0] if masked.shape[1] == 1 else masked, dim=0, return_counts=True)
    return cast(Tensor, counts)
