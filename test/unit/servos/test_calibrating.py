"""Calibrating by hand: any first pose, any offsets, and every way in which a person goes wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.robot import GRIPPER, JOINTS
from so101.servos.calibrating import SWEPT, Calibrating, Stage
from so101.servos.sweep import MOST_PER_READING, urdf_ways

IDS = (1, 2, 3, 4, 5, 6)
WAYS = np.rint(urdf_ways()).astype(int)
STEP = 40


class Hand:
    """Moves the joints of an arm in small steps and shows each to the calibration."""

    def __init__(self, middle=(2047,) * 6, ids=IDS):
        self.encoders = np.array(middle, dtype=np.int64)
        self.machine = Calibrating(ids)
        self.machine.see(self.encoders)

    def turn(self, joint, ticks, *, along=()):
        """Turn a joint so far, others ``along`` with it."""
        moves = np.zeros(6, dtype=np.int64)
        for _ in range(abs(ticks) // STEP + 1):
            part = int(np.clip(ticks, -STEP, STEP))
            ticks -= part
            moves[[joint, *along]] = part
            self.encoders = (self.encoders + moves) % 4096
            self.machine.see(self.encoders)

    def sweep(self, joint, part=1.0, **more):
        """Move a joint to both ends of a part of its way, and back."""
        half = int(WAYS[joint] * part / 2)
        for ticks in (half, -2 * half, half):
            self.turn(joint, ticks, **more)

    def finish(self):
        while self.machine.joint is not None:
            self.sweep(self.machine.joint)
            self.machine.confirm()
            assert not self.machine.problems


def at_sweep(**more):
    hand = Hand(**more)
    hand.machine.confirm()
    assert hand.machine.stage is Stage.SWEEP
    return hand


@given(st.lists(st.integers(0, 4095), min_size=6, max_size=6))
def test_wherever_the_encoders_begin_the_middle_is_at_2047(middle):
    hand = at_sweep(middle=middle)
    hand.finish()
    assert hand.machine.stage is Stage.REST
    calibration = hand.machine.calibration
    for at, joint in enumerate(calibration.joints):
        shown = (middle[at] - joint.homing_offset) % 4096
        assert shown == (2048 if middle[at] == 4095 else 2047)  # the register ends at 2047
        if JOINTS[at] == "wrist_roll":
            assert (joint.range_min, joint.range_max) == (0, 4095)
        else:
            assert joint.range_min == 2047 - WAYS[at] // 2
            assert joint.range_max == 2047 + WAYS[at] // 2
    assert calibration.ids == IDS
    assert not hand.machine.notes
    hand.machine.confirm()
    assert hand.machine.stage is Stage.DONE


def test_the_joints_are_asked_for_in_order_and_the_wrist_never():
    hand, asked = at_sweep(), []
    while (joint := hand.machine.joint) is not None:
        asked.append(JOINTS[joint])
        hand.sweep(joint)
        hand.machine.confirm()
    assert asked == [joint for joint in JOINTS if joint != "wrist_roll"]


def test_nothing_is_accepted_before_a_position_was_read():
    machine = Calibrating(IDS)
    machine.confirm()
    assert machine.stage is Stage.MIDDLE
    assert machine.problems


@pytest.mark.parametrize("joint", SWEPT)
def test_a_joint_that_was_not_moved_far_enough_is_asked_for_again(joint):
    hand = at_sweep()
    while hand.machine.joint != joint:
        hand.sweep(hand.machine.joint)
        hand.machine.confirm()
    hand.sweep(joint, 0.5)
    hand.machine.confirm()
    assert hand.machine.joint == joint
    assert f"{JOINTS[joint]} was moved" in hand.machine.problems[0]
    hand.sweep(joint)
    hand.machine.confirm()
    assert not hand.machine.problems
    assert hand.machine.joint != joint


def test_a_middle_at_the_end_of_the_way_passes_the_encoders_end():
    hand = at_sweep()
    hand.turn(0, 2100)
    hand.machine.confirm()
    assert "past its encoder's end" in hand.machine.problems[0]
    hand.turn(0, -2100)
    hand.sweep(0)
    hand.machine.confirm()
    assert hand.machine.problems  # what was passed stays passed
    hand.machine.begin_again()
    assert hand.machine.stage is Stage.MIDDLE
    hand.machine.confirm()
    hand.finish()


def test_more_than_the_joint_has_is_refused():
    hand = at_sweep()
    hand.sweep(0, 1.3)
    hand.machine.confirm()
    assert "more than the" in hand.machine.problems[0]


def test_swapped_ids_show_as_another_joint_that_moves():
    hand = at_sweep()
    hand.sweep(1)  # shoulder_pan was asked for
    hand.machine.confirm()
    assert "shoulder_lift moved, not shoulder_pan" in hand.machine.problems[0]


def test_two_joints_that_move_as_one_are_refused_and_may_be_moved_again():
    hand = at_sweep()
    hand.sweep(0, along=[2])
    hand.machine.confirm()
    assert "shoulder_pan and elbow_flex moved as one" in hand.machine.problems[0]
    hand.sweep(0)
    hand.machine.confirm()
    assert hand.machine.joint == 1


def test_a_joint_that_sags_meanwhile_is_no_problem():
    hand = at_sweep()
    half = WAYS[0] // 2
    hand.turn(0, half)
    hand.turn(1, 500)  # it falls once while the other is moved on
    hand.turn(0, -2 * half)
    hand.turn(0, half, along=[2])
    hand.machine.confirm()
    assert hand.machine.joint == 1


def test_a_jump_of_a_reading_is_never_taken_for_a_movement():
    hand = at_sweep()
    hand.sweep(0)
    jump = np.eye(6, dtype=np.int64)[0] * (MOST_PER_READING + 1)
    hand.encoders = (hand.encoders + jump) % 4096
    hand.machine.see(hand.encoders)
    for _ in range(2):  # it does not wear off
        hand.machine.confirm()
        assert "shoulder_pan jumped" in hand.machine.problems[0]


def test_what_goes_wrong_with_an_accepted_joint_later_begins_again():
    hand = at_sweep()
    hand.sweep(0)
    hand.machine.confirm()
    while hand.machine.joint != GRIPPER:
        hand.sweep(hand.machine.joint)
        hand.machine.confirm()
    hand.turn(0, 2100)
    hand.turn(0, -2100)
    hand.sweep(GRIPPER)
    hand.machine.confirm()
    assert hand.machine.stage is Stage.MIDDLE
    assert "shoulder_pan went past" in hand.machine.problems[0]
    assert hand.machine.calibration is None


def test_a_short_way_is_noted_with_what_it_costs():
    hand = at_sweep()
    hand.sweep(0, 0.9)
    hand.machine.confirm()
    assert not hand.machine.problems
    # 220° of the model's less 22°: half of them may be at one end.
    assert hand.machine.notes == (
        "shoulder_pan: 198°, the model has 220°: its zero may be off by up to 11°",
    )


def test_a_first_pose_off_the_middle_is_noted():
    hand = at_sweep()
    half = WAYS[0] // 2
    for ticks in (half + 300, -2 * half, half - 300):
        hand.turn(0, ticks)
    hand.machine.confirm()
    assert "the first pose was 26° from the middle" in hand.machine.notes[0]


def test_beginning_again_forgets_everything_but_what_is_done():
    hand = at_sweep()
    hand.sweep(0, 0.9)
    hand.machine.confirm()
    hand.machine.begin_again()
    assert (hand.machine.stage, hand.machine.notes) == (Stage.MIDDLE, ())
    hand.machine.confirm()
    hand.finish()
    hand.machine.confirm()
    hand.machine.begin_again()
    assert hand.machine.stage is Stage.DONE
