"""Delays between attempts: they grow, stay within their limits, and begin anew."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from so101.policies.remote.client.backoff import Backoff


@given(
    first=st.floats(0.01, 1.0),
    factor=st.floats(1.0, 100.0),
    tries=st.integers(1, 30),
    seed=st.integers(0, 9),
)
def test_every_delay_is_between_half_and_whole_of_a_ceiling_that_doubles(
    first, factor, tries, seed
):
    longest = first * factor
    backoff = Backoff(first, longest, np.random.default_rng(seed))
    for number in range(tries):
        ceiling = min(first * 2**number, longest)
        assert ceiling / 2 <= backoff.next_delay() <= ceiling


def test_two_robots_do_not_come_back_in_step():
    one, other = (Backoff(0.1, 5.0, np.random.default_rng(seed)) for seed in (0, 1))
    assert [one.next_delay() for _ in range(5)] != [other.next_delay() for _ in range(5)]


def test_after_a_success_the_delays_begin_anew():
    backoff = Backoff(0.1, 5.0, np.random.default_rng(0))
    for _ in range(8):
        backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 0.1
