"""Laws of a gauge: it never says less than the reading, and does not let noise switch it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_node.gauge import Gauge

WARM, HOT, RELIEF = 55.0, 60.0, 5.0
readings = st.lists(st.floats(30.0, 75.0), min_size=1, max_size=50)


def reached(value):
    return sum(value >= bound for bound in (WARM, HOT))


def at_least_kept(value):
    """Return the highest level that a reading may still have on its way back."""
    return sum(value >= bound - RELIEF for bound in (WARM, HOT))


def gauge(**options):
    return Gauge("elbow_flex: temperature", " °C", (WARM, HOT), RELIEF, **options)


@given(readings)
def test_a_level_is_reached_at_its_bound_and_left_only_when_it_is_back_by_some(values):
    one, before = gauge(), 0
    for value in values:
        one.note(value)
        assert reached(value) <= one.level <= at_least_kept(value)
        assert one.level == min(max(before, reached(value)), at_least_kept(value))
        before = one.level


@given(readings)
def test_low_readings_are_the_mirror_of_high_ones(values):
    high = gauge()
    low = Gauge("battery", " V", (-WARM, -HOT), RELIEF, is_low=True)
    for value in values:
        high.note(value)
        low.note(-value)
        assert low.level == high.level


@given(readings)
def test_noise_within_the_relief_switches_at_most_once(values):
    one, levels = gauge(), []
    for value in values:
        one.note(HOT - 2.0 + 4.0 * (value - 30.0) / 45.0)  # 58 to 62
        levels.append(one.level)
    assert levels == sorted(levels)


def test_it_says_what_was_reached_and_where_it_ends_in_the_same_words_all_along():
    one = gauge()
    one.note(58.0)
    assert (one.level, one.words) == (1, "")
    said = set()
    for value in (61.0, 63.0, 55.0, math.nan):
        one.note(value)
        said.add(one.words)
    assert said == {"elbow_flex: temperature reached 61 °C; going on below 55 °C"}
    one.note(54.9)
    assert (one.level, one.words) == (1, "")
    one.note(49.9)
    assert one.level == 0


@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_is_not_a_number_changes_nothing(level):
    one = gauge()
    one.note((40.0, 57.0, 70.0)[level])
    one.note(math.nan)
    assert one.level == level
