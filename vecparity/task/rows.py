"""Rows of a dataset as keys of one word each, to count distinct rows and the overlap with a test set."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Num
from torch import Tensor

from vecparity.task.dataset import Dataset


@dataclass(frozen=True)
class Overlap:
    """Rows of a test set that occur in a training set.

    Attributes:
        rows: Number of such rows, each counted as often as it occurs in the test set.
        expected: Expected number by chance.
        p_value: Probability of at least this many by chance.
    """

    rows: int
    expected: float
    p_value: float


def keys(bits: Int64[Tensor, "row word"]) -> Num[np.ndarray, " row"]:
    """Returns one word for each row: the row itself, or a digest of its words, chained by splitmix64's finaliser.

    Digests are used for more than 64 features. Equal rows always have equal keys; a row matches one of 12.8 million
    different rows by chance in one of 10^7 evaluations.
    """
    words = bits.numpy().view(np.uint64)
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


def overlap(test_set: Dataset, ascending: Num[np.ndarray, " row"]) -> Overlap:
    """Compares a test set, uniform over all 2^N rows, with a training set that was made independently.

    A test row equals one of the training set's d distinct rows with probability d / 2^N. The number of such rows among
    T is therefore Binomial(T, d / 2^N), and the p-value is its exact upper tail.

    Args:
        test_set: The test set.
        ascending: The training set's `sorted_keys`.
    """
    wanted = keys(test_set.bits)
    place = np.searchsorted(ascending, wanted).clip(max=len(ascending) - 1)
    found = int((ascending[place] == wanted).sum())
    chance = math.ldexp(num_distinct(ascending), -test_set.n_features)
    return Overlap(found, chance * test_set.num_examples, _upper_tail(found, test_set.num_examples, chance))


def _upper_tail(successes: int, trials: int, chance: float) -> float:
    """Returns the probability that a Binomial(trials, chance) variable is ``successes`` or more."""
    if successes == 0:
        return 1.0
    from scipy.special import bdtrc  # slow to import and rarely needed

    return float(bdtrc(successes - 1, trials, chance))
