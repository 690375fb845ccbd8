"""What the arm's readings of a second come to: a warning, a pause, or nothing."""

from dataclasses import replace

import numpy as np
import pytest

from hardware_node.health import ArmHealth, Totals
from hardware_node.params import HardwareParams
from hardware_node.settings import settings_of
from hardware_node.window import Second, Window
from so101.errors import ConfigError
from so101.events import OK, WARN
from so101.robot import JOINTS

CALM = Second(voltage_share=np.full(6, 0.98), current=np.full(6, 0.3), load=np.full(6, 0.2))
GRIPPER = JOINTS.index("gripper")


def row(joint, value, other):
    values = np.full(6, other)
    values[joint] = value
    return values


class Arm:
    """A judge of an arm, second by second."""

    def __init__(self):
        self.health = ArmHealth(settings_of(HardwareParams()).health)
        self.now_s, self.totals = 100.0, Totals()
        self.look()

    def look(self, second=CALM, after_s=1.0, **counted):
        self.now_s += after_s
        self.totals = replace(self.totals, **counted)
        return self.health.look(second, self.totals, self.now_s)


def test_a_calm_arm_is_fine():
    arm = Arm()
    for _ in range(5):
        judgement = arm.look()
        assert (judgement.level, judgement.pause) == (OK, "")


def test_a_warm_servo_is_warned_of_and_a_hot_one_pauses_until_it_is_cooler():
    arm = Arm()
    arm.health.note_temperature(2, 56.0)
    warned = arm.look()
    assert (warned.level, warned.pause, arm.health.is_hot) == (WARN, "", False)
    arm.health.note_temperature(2, 60.0)
    paused = arm.look()
    assert paused.pause == "elbow_flex: temperature reached 60 °C; going on below 55 °C"
    assert arm.health.is_hot and arm.health.heat == paused.pause
    for celsius, is_hot in ((58.0, True), (55.0, True), (54.0, False)):
        arm.health.note_temperature(2, celsius)
        assert bool(arm.look().pause) is arm.health.is_hot is is_hot


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (
            replace(CALM, voltage_share=row(1, 0.88, 1.0)),
            "shoulder_lift: voltage reached 88 % of the start's; going on above 92",
        ),
        (
            replace(CALM, current=row(3, 1.6, 0.2)),
            "wrist_flex: mean current reached 1.6 A; going on below 1.35 A",
        ),
        (
            replace(CALM, load=row(4, 0.65, 0.1)),
            "wrist_roll: mean load reached 65 % of its stall torque; going on below 54",
        ),
    ],
)
def test_a_bad_second_lets_no_episode_begin_and_a_good_one_does_again(second, words):
    arm = Arm()
    bad = arm.look(second)
    assert bad.level == WARN and bad.pause.startswith(words)
    assert arm.look().pause == ""


def test_a_gripper_that_holds_something_is_no_reason():
    """Its torque limit keeps it below the bound, so that holding does not end the evening."""
    held = HardwareParams().gripper_torque_limit / 1000
    assert Arm().look(replace(CALM, load=row(GRIPPER, held, 0.2))).pause == ""


def test_replies_and_ticks_count_by_the_second():
    arm = Arm()
    assert arm.look(bus_errors=19).pause == ""
    assert "bus: lost and spoiled replies reached 21/s" in arm.look(bus_errors=40).pause
    assert arm.look(bus_errors=80, after_s=4.0).pause != ""  # 10 a second: not half of it yet
    assert arm.look(bus_errors=84).pause == ""
    assert "arm loop: ticks left out reached 30/s" in arm.look(late_ticks=30).pause
    assert arm.look(late_ticks=30).pause == ""


def test_a_bus_that_was_opened_anew_counts_from_zero():
    arm = Arm()
    arm.look(bus_errors=10_000, after_s=1000.0)
    assert arm.look(bus_errors=3).pause == ""


def test_an_overloaded_joint_asks_for_a_person_before_the_next_time_is_a_fault():
    arm = Arm()
    assert arm.look(overloads=(0, 1, 0, 0, 0, 0)).pause == ""
    words = arm.look(overloads=(0, 2, 0, 0, 0, 0)).pause
    assert words.startswith("shoulder_lift: overloaded 2 times") and "arm the arm" in words
    assert arm.look().pause == words
    assert arm.look(overloads=(0,) * 6).pause == ""  # armed anew


def test_all_reasons_are_said():
    arm = Arm()
    arm.health.note_temperature(0, 61.0)
    words = arm.look(replace(CALM, current=np.full(6, 2.0))).pause
    assert all(joint in words for joint in JOINTS) and "shoulder_pan: temperature" in words


def test_a_dip_that_is_over_when_somebody_asks_is_seen_and_seen_once():
    window = Window(2)
    for share, current, load in ((1.0, 1.0, 0.5), (0.7, -2.0, -0.7), (1.0, 0.0, 0.0)):
        window.note(0, share, current, load)
    second = window.take()
    assert second.voltage_share[0] == 0.7
    assert (second.current[0], second.load[0]) == (1.0, pytest.approx(0.4))
    empty = (np.isnan(column).all() for column in vars(window.take()).values())
    assert all(empty) and np.isnan(second.current[1])


def test_what_was_not_read_says_nothing():
    assert Arm().look(Window(6).take()).pause == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"warm": 61.0}, "warm, hot, too_hot"),
        ({"too_hot": 58.0}, "warm, hot, too_hot"),
        ({"voltage_low": 0.7}, "voltage_low"),
    ],
)
def test_bounds_that_are_reached_in_the_wrong_order_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        HardwareParams(**values)
