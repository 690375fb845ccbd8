"""Laws of belief in encoders: real motion is believed, jumps and frozen ones are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_node.encoders import FROZEN_NS, FROZEN_RAD, JUMP_FACTOR, STEADY_READINGS, Encoders
from so101.clock import CONTROL_GRID
from so101.errors import HardwareError
from so101.robot import GRIPPER, so101

SPEC = so101()
JUMP = 1000 * 2 * np.pi / 4096
BODY = st.integers(0, GRIPPER - 1)


@given(st.lists(st.lists(st.floats(-1, 1), min_size=6, max_size=6), max_size=40))
def test_what_keeps_the_velocity_limit_is_believed(speeds):
    encoders, positions = Encoders(SPEC), SPEC.home
    for tick, share in enumerate(speeds):
        positions = positions + np.array(share) * SPEC.max_velocity / 60.0
        encoders.check(positions, CONTROL_GRID.stamp(tick))


@pytest.mark.case(4)
@given(st.integers(0, 5), st.sampled_from([-1, 1]), st.floats(1.01, 20.0))
def test_a_jump_is_named_and_one_that_was_none_forgotten(joint, sign, factor):
    encoders = Encoders(SPEC)
    encoders.check(SPEC.home, 0)
    jumped = SPEC.home.copy()
    jumped[joint] += sign * factor * JUMP_FACTOR * SPEC.max_velocity[joint] / 60.0 + sign * 1e-6
    with pytest.raises(HardwareError, match=f"{SPEC.joints[joint]}: its encoder jumped"):
        encoders.check(jumped, CONTROL_GRID.stamp(1))
    encoders.check(SPEC.home, CONTROL_GRID.stamp(2))


def test_a_jump_that_stays_is_believed_in_the_end():
    """A person can then recover, and the first goal is where the arm now says it is."""
    encoders = Encoders(SPEC)
    encoders.check(SPEC.home, 0)
    jumped = SPEC.home + JUMP
    refused = 0
    for tick in range(1, STEADY_READINGS + 1):
        try:
            encoders.check(jumped, CONTROL_GRID.stamp(tick))
        except HardwareError:
            refused += 1
    assert refused == STEADY_READINGS - 1
    encoders.check(jumped, CONTROL_GRID.stamp(10))


@pytest.mark.case(4)
def test_readings_that_contradict_each_other_are_never_believed():
    encoders = Encoders(SPEC)
    encoders.check(SPEC.home, 0)
    for tick in range(1, 14):
        with pytest.raises(HardwareError):
            encoders.check(SPEC.home + JUMP * (1 + tick % 2), CONTROL_GRID.stamp(tick))


def run_frozen(joint, speed, frozen_tick=10, ticks=200):
    """Move a joint steadily; its encoder freezes. Return ticks until the fault, and its words."""
    encoders, goal = Encoders(SPEC), np.array(SPEC.home)
    encoders.begin(goal)
    for tick in range(1, ticks):
        goal = goal.copy()
        goal[joint] += speed / 60.0
        is_changed = np.zeros(6, dtype=bool)
        is_changed[joint] = tick < frozen_tick
        try:
            encoders.check_moving(is_changed, goal, CONTROL_GRID.stamp(tick))
        except HardwareError as error:
            return tick - frozen_tick, str(error)
    return None, ""


@pytest.mark.case(5)
@given(BODY, st.floats(0.5, 3.0), st.sampled_from([-1, 1]))
def test_a_frozen_encoder_is_found_within_300_ms(joint, speed, sign):
    ticks, words = run_frozen(joint, sign * speed)
    assert ticks / 60.0 <= 0.3
    assert ticks / 60.0 >= FROZEN_NS * 1e-9
    assert SPEC.joints[joint] in words


@given(BODY, st.lists(st.floats(-FROZEN_RAD / 2.1, FROZEN_RAD / 2.1), max_size=60))
def test_a_joint_that_is_told_little_may_stand_still(joint, offsets):
    encoders = Encoders(SPEC)
    encoders.begin(SPEC.home)
    for tick, offset in enumerate(offsets):
        goal = SPEC.home.copy()
        goal[joint] += offset
        encoders.check_moving(np.zeros(6, dtype=bool), goal, CONTROL_GRID.stamp(tick))


def test_a_gripper_may_stand_still_at_an_object():
    assert run_frozen(GRIPPER, 1.0)[0] is None
