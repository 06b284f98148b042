"""Rows of a test set that are near a row of a training set, in Hamming distance, and how many chance explains."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from einops import rearrange
from jaxtyping import Num

from vecparity.task.dataset import Dataset
from vecparity.task.rows import first_of_each, keys, keys_of_words, sorted_keys

# The largest Hamming distance of rows that count as near duplicates.
MOST_FLIPS = 2
# Pairs of rows compared for one secret: a fraction of a second. If there would be more, a sample of the test set is
# compared.
_MOST_PAIRS = 5e6
# Rows of a training set that are compared at once, and the bits of a table's index.
_ROWS_AT_ONCE = 1 << 20
_TABLE_BITS = 22


@dataclass(frozen=True)
class Overlap:
    """Rows of a test set with a row of a training set within a Hamming distance.

    Attributes:
        flips: The distance, 0 for equal rows.
        compared: Number of rows of the test set that were compared.
        rows: Number of those within the distance, each counted as often as it occurs in the test set.
        expected: Largest expected number by chance.
        p_value: Largest probability of at least this many by chance.
    """

    flips: int
    compared: int
    rows: int
    expected: float
    p_value: float


def overlaps(test_set: Dataset, dataset: Dataset) -> list[Overlap]:
    """Compares a test set, uniform over all 2^N rows, with a training set that was made independently.

    At most d V / 2^N of all rows are within a distance of one of the training set's d distinct rows, where V is the
    number of rows within that distance of a single row: 1, 1 + N, or 1 + N + N (N - 1) / 2. The number of such rows
    among T test rows is therefore Binomial with at most this probability, and the p-value is its exact upper tail.

    Args:
        test_set: The test set. If there are too many pairs of rows to compare, a random sample of it is compared.
        dataset: The training set.

    Returns:
        One comparison for each distance from 0 to 2.
    """
    distinct = _distinct_rows(dataset)
    wanted = test_set.bits.numpy().view(np.uint64)
    compared = _num_compared(len(wanted), len(distinct), test_set.n_features)
    if compared < len(wanted):  # an unforeseeable sample, so that nothing can hide in the rest
        wanted = wanted[np.random.default_rng().choice(len(wanted), compared, replace=False)]
    nearest = _distances(wanted, distinct, test_set.n_features)
    found = []
    for flips, volume in enumerate(_volumes(test_set.n_features)):
        rows, chance = int((nearest <= flips).sum()), min(1.0, math.ldexp(len(distinct) * volume, -test_set.n_features))
        found.append(Overlap(flips, compared, rows, chance * compared, _upper_tail(rows, compared, chance)))
    return found


def _volumes(n_features: int) -> list[int]:
    """Returns the numbers of rows within each distance of one row."""
    return [sum(math.comb(n_features, flips) for flips in range(most + 1)) for most in range(MOST_FLIPS + 1)]


def _num_compared(num_wanted: int, num_rows: int, n_features: int) -> int:
    pairs_of_one = num_rows * sum(2.0 ** -(end - begin) for begin, end in _blocks(n_features))
    return max(1, min(num_wanted, int(_MOST_PAIRS / max(pairs_of_one, 1e-9))))


def _distinct_rows(dataset: Dataset) -> Num[np.ndarray, "row word"]:
    rows = dataset.bits.numpy().view(np.uint64)
    if rows.shape[1] == 1:  # keys are the rows themselves
        ascending = sorted_keys(dataset)
        return rearrange(ascending[first_of_each(ascending)], "row -> row 1")
    _, first = np.unique(keys(dataset.bits), return_index=True)
    return rows[first]


def _blocks(n_features: int) -> list[tuple[int, int]]:
    """Divides the features into one block more than features may differ: near rows agree on one block."""
    count = MOST_FLIPS + 1
    bounds = [n_features * block // count for block in range(count + 1)]
    return list(pairwise(bounds))


def _distances(
    wanted: Num[np.ndarray, "row word"], rows: Num[np.ndarray, "other word"], n_features: int
) -> Num[np.ndarray, " row"]:
    """Returns the Hamming distance of each wanted row from the nearest other row, or 3 if none is within 2."""
    nearest = np.full(len(wanted), MOST_FLIPS + 1)
    for begin, end in _blocks(n_features):
        mask = np.array([_mask(begin - 64 * word, end - 64 * word) for word in range(wanted.shape[1])], dtype=np.uint64)
        own = keys_of_words(wanted & mask)
        order = np.argsort(own)
        own = own[order]
        is_wanted = np.zeros(1 << _TABLE_BITS, dtype=bool)
        is_wanted[_hashed(own)] = True
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[first : first + _ROWS_AT_ONCE]
            theirs = keys_of_words(part & mask)
            candidates = np.flatnonzero(is_wanted[_hashed(theirs)])
            for one, other in _pairs(own, theirs[candidates]):
                one, other = order[one], candidates[other]
                flips = np.bitwise_count(wanted[one] ^ part[other]).sum(axis=1)
                is_near = flips <= MOST_FLIPS
                np.minimum.at(nearest, one[is_near], flips[is_near])
    return nearest


def _pairs(
    ascending: Num[np.ndarray, " row"], others: Num[np.ndarray, " other"]
) -> Iterator[tuple[Num[np.ndarray, " pair"], Num[np.ndarray, " pair"]]]:
    """Yields the positions of all pairs of equal keys, part by part."""
    begin, end = (np.searchsorted(ascending, others, side) for side in ("left", "right"))
    matched = np.flatnonzero(end > begin)
    counts = (end - begin)[matched]
    totals = np.cumsum(counts)
    for first, last in pairwise([*np.searchsorted(totals, range(0, counts.sum(), _ROWS_AT_ONCE)), len(matched)]):
        own = slice(first, last)
        other = np.repeat(matched[own], counts[own])
        within = np.arange(len(other)) - np.repeat(
            totals[own] - counts[own] - (totals[first] - counts[first]), counts[own]
        )
        yield begin[other] + within, other


def _mask(begin: int, end: int) -> int:
    """Returns a word with the bits from ``begin`` to ``end``, of which some may lie outside the word."""
    begin, end = (min(max(bound, 0), 64) for bound in (begin, end))
    return (1 << end) - (1 << begin)


def _hashed(keys: Num[np.ndarray, " row"]) -> Num[np.ndarray, " row"]:
    return (keys * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _TABLE_BITS)


def _upper_tail(successes: int, trials: int, chance: float) -> float:
    """Returns the probability that a Binomial(trials, chance) variable is ``successes`` or more."""
    if successes == 0:
        return 1.0
    from scipy.special import bdtrc  # slow to import and rarely needed

    return float(bdtrc(successes - 1, trials, chance))
