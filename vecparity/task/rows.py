"""Datasets' rows as keys of one word each: which are distinct, and which of a test set's are among them."""

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
        rows: How many, each as often as it occurs in the test set.
        expected: How many there are by chance, on average.
        p_value: How likely so many or more are by chance.
    """

    rows: int
    expected: float
    p_value: float


def keys(bits: Int64[Tensor, "row word"]) -> Num[np.ndarray, " row"]:
    """Returns one word for each row: the row itself, or a digest of its words, chained by splitmix64's finaliser.

    Digests are for more than 64 features: some row looks like one of 12.8 million others by chance in one of 10^7
    evaluations, no row unlike itself.
    """
    words = bits.numpy().view(np.uint64)
    made = words[:, 0].copy()
    for word in words.T[1:]:
        made ^= made >> 30
        made *= np.uint64(0xBF58476D1CE4E5B9)
        made ^= made >> 27
        made *= np.uint64(0x94D049BB133111EB)
        made ^= made >> 31
        made ^= word
    return made


def first_of_each(ascending: Num[np.ndarray, " row"]) -> Int64[np.ndarray, " distinct"]:
    """Returns where each distinct one of ascending keys is first found."""
    return np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))


def sorted_keys(dataset: Dataset) -> Num[np.ndarray, " row"]:
    """Returns the keys of a dataset's rows, ascending."""
    ascending = keys(dataset.bits)
    ascending.sort()  # where it is: a dataset may have 12.8 million rows
    return ascending


def num_distinct(ascending: Num[np.ndarray, " row"]) -> int:
    """Counts the distinct ones of ascending keys."""
    return 1 + int(np.count_nonzero(ascending[1:] != ascending[:-1]))


def overlap(test_set: Dataset, ascending: Num[np.ndarray, " row"]) -> Overlap:
    """Compares a test set, uniform over all 2^N rows, with a training set that was made without it.

    A row of the test set is one of the training set's d distinct rows with probability d / 2^N, so that of T rows a
    Binomial(T, d / 2^N) number is: the p-value is its exact upper tail.

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
    """How likely a Binomial(trials, chance) number is to be ``successes`` or more."""
    if successes == 0:
        return 1.0
    from scipy.special import bdtrc  # takes a while to import, and is rarely asked

    return float(bdtrc(successes - 1, trials, chance))
