import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vecparity.analysis.intervals import Interval, interval

SAMPLES = st.lists(st.integers(0, 16_384).map(lambda rows: rows / 16_384), min_size=3, max_size=12)


@given(SAMPLES)
def test_of_a_mean_it_is_students(sample: list[float]) -> None:
    made = interval([sample], [1.0])
    if len(set(sample)) == 1:
        assert made is None
        return
    expected = stats.ttest_1samp(sample, 0).confidence_interval()
    assert made is not None and (made.low, made.high) == pytest.approx(
        (expected.low, expected.high), rel=1e-9, abs=1e-12
    )


def test_of_a_difference_it_is_welchs() -> None:
    rng = np.random.default_rng(0)
    for first, second in [(5, 5), (5, 10), (3, 20)]:
        one, other = rng.normal(size=first), 3 * rng.normal(size=second)
        expected = stats.ttest_ind(other, one, equal_var=False).confidence_interval()
        made = interval([one.tolist(), other.tolist()], [-1.0, 1.0])
        assert made is not None and (made.low, made.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


@given(SAMPLES, SAMPLES)
def test_the_other_way_round_it_is_the_opposite(one: list[float], other: list[float]) -> None:
    forth, back = interval([one, other], [-1.0, 1.0]), interval([other, one], [-1.0, 1.0])
    if len(set(one)) == len(set(other)) == 1:
        assert forth is back is None
        return
    assert forth is not None and back is not None
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth == interval([one, other], [-1.0, 1.0])


def test_where_nothing_varies_there_is_none() -> None:
    assert interval([[1.0] * 5], [1.0]) is None
    assert interval([[1.0] * 5, [0.5] * 3], [-1.0, 1.0]) is None
    assert interval([[1.0] * 5, [0.5, 0.6, 0.7]], [-1.0, 1.0]) is not None


def test_two_secrets_are_too_few() -> None:
    assert interval([[0.1, 0.2]], [1.0]) is None
    assert interval([[0.1, 0.2, 0.3], [0.1, 0.2]], [-1.0, 1.0]) is None
    assert interval([[0.1, 0.2, 0.3]], [1.0]) is not None


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.0, False)]
)
def test_excludes_zero(low: float, high: float, excludes: bool) -> None:
    assert Interval(low, high).excludes_zero is excludes


def test_within_cuts_what_cannot_be() -> None:
    assert Interval(-0.2, 1.1).within(0.0, 1.0) == Interval(0.0, 1.0)
    assert Interval(0.4, 0.6).within(0.0, 1.0) == Interval(0.4, 0.6)


def test_the_mean_over_configurations_is_where_it_says() -> None:
    """Accuracies of 5 secrets on each of three configurations, of different spread."""
    rng = np.random.default_rng(1)
    missed, times = 0, 300
    for _ in range(times):
        samples = [rng.normal(0.6, spread, 5).tolist() for spread in (0.01, 0.05, 0.1)]
        made = interval(samples, [1 / 3] * 3)
        assert made is not None
        missed += not made.low <= 0.6 <= made.high
    assert missed <= stats.binom.ppf(0.999, times, 0.05)
    assert missed > 0
