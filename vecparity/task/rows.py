"""Rows of a dataset as keys of one word each, to count and find distinct rows."""

import numpy as np
from jaxtyping import Int64, Num
from torch import Tensor

from vecparity.task.dataset import Dataset


def keys(bits: Int64[Tensor, "row word"]) -> Num[np.ndarray, " row"]:
    """Returns one word for each row: the row itself, or a digest of its words, chained by splitmix64's finaliser.

    Digests are used for more than 64 features. Equal rows always have equal keys; a row matches one of 12.8 million
    different rows by chance in one of 10^7 evaluations.
    """
    return keys_of_words(bits.numpy().view(np.uint64))


def keys_of_words(words: Num[np.ndarray, "row word"]) -> Num[np.ndarray, " row"]:
    """See `keys`."""
    keys = words[:, 0].copy()
    for word in words.T[1:]:
        keys ^= keys >> 30
        keys *= np.uint64(0xBF58476D1CE4E5B9)
        keys ^= keys >> 27
        keys *= np.uint64(0x94D049BB133111EB)
        keys ^= keys >> 31
        keys ^= word
    return keys


def first_of_each(ascending: Num[np.ndarray, " row"]) -> Int64[np.ndarray, " distinct"]:
    """Returns the position of the first occurrence of each distinct key, for ascending keys."""
    return np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))


def sorted_keys(dataset: Dataset) -> Num[np.ndarray, " row"]:
    """Returns the keys of a dataset's rows, ascending."""
    ascending = keys(dataset.bits)
    ascending.sort()  # in place: a dataset may have 12.8 million rows
    return ascending


def num_distinct(ascending: Num[np.ndarray, " row"]) -> int:
    """Counts the distinct keys, for ascending keys."""
    return 1 + int(np.count_nonzero(ascending[1:] != ascending[:-1]))
