"""What a number of tries comes to, against values worked out by hand."""

from typing import NamedTuple

import pytest

from so101.groups.summary import (
    change,
    first_and_last,
    paired,
    percent,
    summary,
    typical_duration,
)


class Tried(NamedTuple):
    duration_s: float
    is_success: bool


OLD = [Tried(6.0, True), Tried(8.0, True), Tried(2.0, False)]
NEW = [Tried(4.2, True), Tried(1.0, False), Tried(5.6, True)]


def test_durations_are_those_of_successes():
    assert summary(OLD) == {"n": 3, "successes": 2, "median_success_duration_s": 7.0}
    assert summary([])["median_success_duration_s"] is None
    assert change(OLD, NEW) == pytest.approx(4.9 / 7.0 - 1.0)
    assert change(OLD, OLD[2:]) is None


def test_pairs_are_won_and_lost():
    assert paired(OLD, NEW) == {"won": 1, "lost": 1}
    with pytest.raises(ValueError, match="shorter"):
        paired(OLD, NEW[:2])


def test_failures_count_as_the_limit():
    assert typical_duration(OLD, 12.0) == 8.0
    assert first_and_last([OLD, OLD, NEW, NEW], 12.0) == (8.0, 5.6)
    assert first_and_last([OLD], 12.0) == (8.0, 8.0)


def test_a_change_has_its_sign():
    assert [percent(0.123), percent(-0.3), percent(None)] == ["+12.3 %", "-30.0 %", "none"]
