"""The arithmetic of one joint, checked against what it is about: braking, tick by tick."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.control.limits import (
    TickLimits,
    braking_step,
    broken_limits,
    is_illegal,
    keep_in_range,
    longest_way,
    nearest_legal,
    overshoot,
    stopping_way,
    tick_limits,
)
from so101.robot import so101

LIMITS = tick_limits(so101(), 1 / 60)[1]
SLOW_TO_TURN = TickLimits(lower=-1.0, upper=1.0, velocity=0.05, acceleration=0.01, jerk=0.011)
LAWS = settings(max_examples=200, deadline=None)

every_limits = st.sampled_from([LIMITS, SLOW_TO_TURN])
shares = st.one_of(st.floats(-1.0, 1.0), st.sampled_from([-1.0, 0.0, 1.0]))


def brake(step, bend, limits):
    """Return the steps until rest."""
    steps = []
    while step != 0.0:
        before, step = step, braking_step(step, bend, limits)
        assert not is_illegal(step, before, bend, limits)
        bend = step - before
        steps.append(step)
    return steps


def legal_state(step_share, bend_share, limits):
    """Return a step and its bend, both within the limits."""
    step = step_share * limits.velocity
    last = min(max(step - bend_share * limits.acceleration, -limits.velocity), limits.velocity)
    return step, step - last


@LAWS
@given(every_limits, shares, shares)
def test_the_stopping_way_is_what_legal_braking_covers(limits, step_share, bend_share):
    step, bend = legal_state(step_share, bend_share, limits)
    steps = brake(step, bend, limits)
    assert stopping_way(step, bend, limits) == pytest.approx(sum(steps), abs=1e-12)
    assert all(braked * step >= 0.0 for braked in steps)  # never back
    assert abs(sum(steps)) <= longest_way(limits) + 1e-12


@LAWS
@given(every_limits, shares, shares, st.floats(-1.0, 1.0))
def test_the_nearest_legal_step_is_legal_and_a_legal_one_is_its_own(
    limits, step_share, bend_share, wish
):
    step, bend = legal_state(step_share, bend_share, limits)
    nearest = nearest_legal(wish, step, bend, limits)
    assert not is_illegal(nearest, step, bend, limits)
    if not is_illegal(wish, step, bend, limits):
        assert nearest == pytest.approx(wish, abs=2e-12)


@LAWS
@given(every_limits, shares, shares, st.floats(-0.1, 0.1))
def test_a_step_is_illegal_when_it_breaks_a_limit_and_not_else(
    limits, step_share, bend_share, wish
):
    step, bend = legal_state(step_share, bend_share, limits)
    assert is_illegal(wish, step, bend, limits) == bool(broken_limits(wish, step, bend, limits))


@LAWS
@given(every_limits, shares, shares, shares)
def test_the_sign_of_a_motion_does_not_matter(limits, step_share, bend_share, share):
    step, bend = legal_state(step_share, bend_share, limits)
    assert stopping_way(-step, -bend, limits) == -stopping_way(step, bend, limits)
    assert braking_step(-step, -bend, limits) == -braking_step(step, bend, limits)
    wish = share * limits.velocity
    assert nearest_legal(-wish, -step, -bend, limits) == -nearest_legal(wish, step, bend, limits)


@LAWS
@given(every_limits, shares, shares, shares)
def test_a_step_kept_in_range_is_legal_and_stops_there(limits, step_share, bend_share, share):
    step, bend = legal_state(step_share, bend_share, limits)
    room = stopping_way(step, bend, limits)
    position = limits.upper - max(room, 0.0) if room >= 0.0 else limits.lower - room
    wish = nearest_legal(share * limits.velocity, step, bend, limits)
    kept = keep_in_range(position, wish, step, bend, limits)
    assert not is_illegal(kept, step, bend, limits)
    assert overshoot(position, kept, step, limits) <= 2e-12


def test_every_broken_limit_is_named():
    assert broken_limits(0.0, 0.0, 0.0, LIMITS) == ()
    assert broken_limits(1.0, 0.0, 0.0, LIMITS) == ("velocity", "acceleration", "jerk")
    bend = 1.01 * LIMITS.acceleration
    assert broken_limits(bend, 0.0, 0.0, LIMITS) == ("acceleration",)
    half = 0.9 * LIMITS.acceleration
    assert broken_limits(0.0, half, half, LIMITS) == ("jerk",)
