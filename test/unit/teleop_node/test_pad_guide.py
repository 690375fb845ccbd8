"""The gamepad's guide: nothing moves without the dead man's button, and no last value lives on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.clock import CONTROL_GRID, NS_PER_S
from so101.control.trajectory import validate
from so101.devices.pad_layout import PadReader, layout_of
from so101.devices.sticks import Sticks
from so101.kinematics.tool_motion import ToolMotion
from so101.robot import so101
from teleop_node.guide import ArmNow
from teleop_node.pad_guide import FURTHEST_AHEAD_RAD, PadGuide

SPEC, MOTION = so101(), ToolMotion()
READER = PadReader(layout_of("keyboard"))
SILENCE_NS = NS_PER_S // 8


def pad(*, dead_man=True, take_over=False, release=False, **parts):
    names = ("x", "y", "z", "pitch", "roll", "gripper")
    axes = tuple(parts.get(name, 0.0) for name in names)
    return Sticks(axes=axes, buttons=(dead_man, take_over, release))


class Arm:
    """An arm that follows at once what its guide wants; one tick after the other."""

    def __init__(self, guide, command=SPEC.home, tick=600):
        self.guide, self.command, self.tick = guide, command, tick
        self.may_act = self.has_control = self.is_still = True

    @property
    def now_ns(self):
        return CONTROL_GRID.stamp(self.tick)

    def step(self, sticks=None):
        self.tick += 1
        if sticks is not None:
            self.guide.on_sticks(sticks, self.now_ns)
        now = ArmNow(
            stamp_ns=self.now_ns,
            command=self.command,
            now_ns=self.now_ns,
            may_act=self.may_act,
            has_control=self.has_control,
            is_still=self.is_still,
        )
        sent = self.guide.step(now)
        if sent is not None:
            validate(sent, SPEC.joints)
            assert sent.stamp_ns == self.now_ns
            assert sent.times_ns[-1] <= NS_PER_S // 10  # then the arm rests
            np.testing.assert_array_equal(sent.velocities[-1], np.zeros(6))
            assert ((sent.positions >= SPEC.lower) & (sent.positions <= SPEC.upper)).all()
            self.command = sent.positions[0]
        return sent


@pytest.fixture
def guide():
    return PadGuide(READER, MOTION, SPEC, silence_ns=SILENCE_NS)


@pytest.fixture
def arm(guide):
    arm = Arm(guide)
    arm.step(pad(dead_man=False))
    return arm


def test_nothing_moves_unless_the_button_is_held(arm):
    assert arm.step(pad(dead_man=False, x=1.0)) is None
    assert arm.step(pad(x=1.0)) is not None
    assert arm.step(pad(dead_man=False, x=1.0)) is None


def test_nothing_moves_unless_it_is_asked_for(arm):
    arm.may_act = False
    assert arm.step(pad(x=1.0)) is None


def test_before_it_has_control_it_offers_to_stay_once_the_arm_stands(arm):
    arm.has_control = arm.is_still = False
    assert arm.step(pad(x=1.0)) is None
    arm.is_still = True
    offered = arm.step(pad(x=1.0))
    np.testing.assert_array_equal(offered.positions, SPEC.home[None].repeat(2, 0))
    arm.has_control = True
    moved = arm.step(pad(x=1.0))
    assert 0.0 < np.abs(moved.positions[0] - SPEC.home).max() <= 0.02


def test_it_begins_softly_and_ends_at_once(arm):
    steps = []
    for _ in range(30):
        before = arm.command
        arm.step(pad(gripper=1.0))
        steps.append(arm.command[5] - before[5])
    full = 1.2 / 60
    np.testing.assert_allclose(steps[:20], full * np.arange(1, 21) / 20)
    np.testing.assert_allclose(steps[20:], full)
    assert arm.step(pad(dead_man=False, gripper=1.0)) is None


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_is_done_to_the_pad_the_wish_moves_by_bounded_steps(data):
    arm = Arm(PadGuide(READER, MOTION, SPEC, silence_ns=SILENCE_NS))
    share = st.sampled_from([-1.0, 0.0, 0.3, 1.0])
    wishes = st.fixed_dictionaries(
        {"dead_man": st.booleans(), "x": share, "z": share, "roll": share, "gripper": share}
    )
    for kinds in data.draw(st.lists(st.none() | wishes, min_size=3, max_size=40)):
        before = arm.command
        arm.step(None if kinds is None else pad(**kinds))
        steps = np.abs(arm.command - before)
        assert steps[:5].max() <= 0.02 + 1e-9 and steps[5] <= 1.2 / 60 + 1e-9


@pytest.mark.case(25)
def test_a_silent_pad_is_lost_and_its_last_value_forgotten(arm, guide):
    arm.step(pad(x=1.0))
    silent = [arm.step() is None for _ in range(12)]
    stopped = silent.index(True)
    assert (stopped + 1) * NS_PER_S / 60 <= 0.15 * NS_PER_S
    assert all(silent[stopped:]) and "silent for" in guide.problem
    assert arm.step(pad(x=1.0)) is None  # still held: it is not seen as pressed anew
    assert guide.problem == ""
    arm.step(pad(dead_man=False))
    assert arm.step(pad(x=1.0)) is not None


@pytest.mark.case(25)
def test_a_pad_that_is_pulled_out_is_lost_at_once(arm, guide):
    arm.step(pad(x=1.0))
    guide.lose("/dev/input/js0: gone: No such device")
    assert arm.step() is None
    assert guide.problem == "/dev/input/js0: gone: No such device"
    assert arm.step(pad(x=1.0)) is None


def test_a_pad_that_never_says_it_is_gone_is_not_silent():
    arm = Arm(PadGuide(READER, MOTION, SPEC, silence_ns=None))
    arm.step(pad(dead_man=False))
    arm.step(pad(x=1.0))
    assert all(arm.step() is not None for _ in range(60))


def test_the_wish_waits_for_an_arm_that_is_held_up(arm, guide):
    blocked = SPEC.home.copy()
    for _ in range(60):
        sent = arm.step(pad(x=1.0))
        arm.command = blocked
    assert np.abs(sent.positions[0] - blocked).max() <= FURTHEST_AHEAD_RAD + 0.02 + 1e-9


def test_buttons_ask_once_when_they_are_pressed(arm, guide):
    guide.asks()
    arm.step(pad(take_over=True))
    arm.step(pad(take_over=True))
    assert guide.asks() == ("intervention/take_over",)
    arm.step(pad(release=True))
    assert guide.asks() == ("intervention/release",)
    assert guide.asks() == ()


def test_a_button_that_is_held_when_the_pad_appears_asks_nothing(guide):
    guide.on_sticks(pad(take_over=True), 0)
    assert guide.asks() == ()
