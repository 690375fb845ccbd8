"""Laws of the statistics."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.statistics import median, paired_interval, wilson_interval

counts = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_the_interval_holds_the_share_and_lies_within_0_and_1(count):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    assert low < high


@given(counts)
def test_failures_mirror_successes(count):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    other_low, other_high = wilson_interval(trials - successes, trials)
    assert (1 - other_high, 1 - other_low) == pytest.approx((low, high), abs=1e-12)


@given(counts, st.integers(2, 10))
def test_more_trials_of_the_same_share_say_more(count, times):
    successes, trials = count
    low, high = wilson_interval(successes, trials)
    more_low, more_high = wilson_interval(successes * times, trials * times)
    assert more_high - more_low < high - low


def test_known_intervals():
    """Source: Wilson's formula by hand for 8 of 10, and its limit for nothing seen."""
    assert wilson_interval(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.lists(st.floats(-1e100, 1e100), min_size=1))
def test_the_median_agrees_with_the_standard_library(values):
    assert median(values) == pytest.approx(statistics.median(values))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.randoms())
def test_the_median_ignores_the_order(values, random):
    shuffled = random.sample(values, len(values))
    assert median(shuffled) == median(values)


def test_nothing_has_no_median():
    assert median([]) is None


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 100))
def test_a_paired_interval_holds_its_difference(won, lost, neither):
    trials = won + lost + neither
    low, high = paired_interval(won, lost, trials)
    assert -1.0 <= low <= high <= 1.0
    if trials:
        assert low - 1e-12 <= (won - lost) / trials <= high + 1e-12


def test_a_paired_interval_by_hand():
    low, high = paired_interval(20, 10, 500)  # 0.02 +- 1.96 * sqrt(30 - 100 / 500) / 500
    assert (low, high) == pytest.approx((-0.001398, 0.041398), abs=1e-5)
