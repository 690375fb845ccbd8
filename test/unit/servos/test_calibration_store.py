"""What servos remember is written all or not at all, and only where it differs."""

import numpy as np
import pytest
from factories import make_calibration
from hand_moved_arm import IDS, HandMovedArm
from hypothesis import given
from hypothesis import strategies as st

from so101.errors import HardwareError
from so101.servos import registers as reg
from so101.servos.calibration import calibration_from
from so101.servos.calibration_store import Encoders, check_models, compare, store
from so101.servos.torque import hold, holding, release
from so101.servos.wanted import calibrated

CALIBRATION = calibration_from(
    {
        name: {**one, "homing_offset": -100 * one["id"], "range_max": 3000 + one["id"]}
        for name, one in make_calibration().items()
    },
    "here",
)
WRITES = 6 * 5  # open, three registers, lock


def kept(calls):
    return lambda: calls.append("kept")


def test_a_servo_that_says_the_same_is_not_written():
    arm, calls = HandMovedArm(), []
    changes = store(arm, CALIBRATION, kept(calls))
    assert len(changes) == 18
    assert not compare(arm, IDS, [calibrated(joint) for joint in CALIBRATION.joints])
    arm.written.clear()
    assert store(arm, CALIBRATION, kept(calls)) == ()
    assert not arm.written
    assert calls == ["kept", "kept"]


def test_only_what_differs_is_written_and_locked_again():
    arm = HandMovedArm()
    store(arm, CALIBRATION, kept([]))
    arm.memory[3]["max_position_limit"] = 2000
    arm.memory[5]["phase"] = 12 | 0x10
    arm.memory[5]["lock"] = 0
    arm.memory[6]["operating_mode"] = 3
    arm.written.clear()
    changes = store(arm, CALIBRATION, kept([]))
    assert [str(change) for change in changes] == [
        "elbow_flex (id 3): max_position_limit is 2000, wanted 3003",
        "wrist_roll (id 5): phase is 28, wanted bits clear 16",
        "gripper (id 6): operating_mode is 3, wanted 0",
    ]
    written = [(servo, name) for servo, name, _ in arm.written if name != "lock"]
    assert written == [(3, "max_position_limit"), (5, "phase"), (6, "operating_mode")]
    assert {servo: arm.memory[servo]["lock"] for servo in IDS} == dict.fromkeys(IDS, 1)


@pytest.mark.parametrize("failure", [HardwareError("no answer"), KeyboardInterrupt()])
@given(st.integers(0, WRITES - 1))
def test_wherever_it_breaks_off_everything_is_as_before(failure, writes):
    arm, calls = HandMovedArm(offsets=(5, -6, 7, 0, 0, 1)), []
    arm.memory[2]["lock"] = 0
    before, locks = arm.eeprom(), [arm.memory[servo]["lock"] for servo in IDS]
    arm.fail_after, arm.failure = writes, failure
    with pytest.raises(type(failure)):
        store(arm, CALIBRATION, kept(calls))
    assert arm.eeprom() == before
    assert [arm.memory[servo]["lock"] for servo in IDS] == locks
    assert not calls


def test_a_file_that_cannot_be_written_leaves_the_servos_as_they_were():
    arm = HandMovedArm()
    before = arm.eeprom()

    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store(arm, CALIBRATION, fail)
    assert arm.eeprom() == before


def test_a_servo_that_does_not_take_a_value_is_named():
    class Stubborn(HandMovedArm):
        def write(self, servo, register, value):
            if (servo, register) != (4, reg.MIN_POSITION_LIMIT):
                super().write(servo, register, value)

    arm = Stubborn()
    before = arm.eeprom()
    message = r"wrist_flex \(id 4\): min_position_limit was written 1000 and reads 0"
    with pytest.raises(HardwareError, match=message):
        store(arm, CALIBRATION, kept([]))
    assert arm.eeprom() == before


def test_what_could_not_be_undone_is_said():
    class Dying(HandMovedArm):
        def write(self, servo, register, value):
            if servo == 2:
                raise HardwareError("gone")
            super().write(servo, register, value)

    arm = Dying()
    with pytest.raises(HardwareError, match="so did undoing it: lock of servo 2; calibrate again"):
        store(arm, CALIBRATION, kept([]))


@given(
    st.lists(st.integers(0, 4095), min_size=6, max_size=6),
    st.lists(st.integers(-2047, 2047), min_size=6, max_size=6),
)
def test_encoders_are_read_without_the_offsets(encoders, offsets):
    arm = HandMovedArm(encoders, offsets)
    np.testing.assert_array_equal(Encoders(arm, IDS).read(), encoders)


def test_each_joint_needs_its_servo_and_model():
    arm = HandMovedArm()
    check_models(arm, IDS)
    arm.memory[6]["model_number"] = 1284
    with pytest.raises(HardwareError, match="gripper: servo 6 is of model 1284"):
        check_models(arm, IDS)
    arm.is_deaf = {3}
    with pytest.raises(HardwareError, match="elbow_flex: servo 3: no answer; look at power"):
        check_models(arm, IDS)


def test_torque_comes_back_where_the_joint_is_and_only_within_its_limits():
    arm = HandMovedArm(encoders=(100, 2000, 3000, 1000, 5, 4000))
    for servo in (1, 2, 3):
        arm.memory[servo] |= {"torque_enable": 1, "max_position_limit": 2500}
    were_on = holding(arm, IDS)
    assert were_on == (1, 2, 3)
    release(arm, were_on)
    assert holding(arm, IDS) == ()
    assert hold(arm, were_on) == (3,)
    assert holding(arm, IDS) == (1, 2)
    assert [arm.memory[servo]["goal_position"] for servo in (1, 2)] == [100, 2000]
