"""Laws of the boot: what is not as wanted is refused by name, and mended only when asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_arm import calibration, scripted_arm
from scripted_servos import Servo

from hardware_node.boot import boot, compare
from so101.errors import HardwareError
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.packets import Instruction
from so101.servos.wanted import Rule, Want, wanted_eeprom

CALIBRATION = calibration()


def make():
    port = scripted_arm()
    return port, ServoBus(port, now_ns=port.now_ns)


def writes_of(port):
    codes = (Instruction.WRITE, Instruction.SYNC_WRITE)
    return [packet for packet in port.requests if packet.code in codes]


def test_an_arm_as_wanted_is_taken_and_nothing_is_written():
    port, bus = make()
    booted = boot(bus, CALIBRATION, write_eeprom=True)
    assert booted.is_torque_on == (False,) * 6
    assert booted.firmware == ("3.10",) * 6
    assert booted.mended == ()
    assert writes_of(port) == []


@pytest.mark.case(9)
@given(st.data())
def test_what_differs_is_refused_by_name_or_mended_and_then_as_wanted(data):
    port, bus = make()
    joint = data.draw(st.integers(0, 5))
    want = data.draw(st.sampled_from(wanted_eeprom(CALIBRATION)[joint]))
    register = want.register
    found = data.draw(st.integers(max(register.lowest, -2047), min(register.highest, 2047)))
    servo = port.by_id(joint + 1)
    servo.set(register, found)
    if want.mend(found) == found:
        assert boot(bus, CALIBRATION, write_eeprom=False).mended == ()
        return
    with pytest.raises(HardwareError, match=f"id {joint + 1}.*{register.name} is {found}, wanted"):
        boot(bus, CALIBRATION, write_eeprom=False)
    assert writes_of(port) == []
    (mended,) = boot(bus, CALIBRATION, write_eeprom=True).mended
    assert register.name in mended
    assert servo.get(register) == want.mend(found)
    assert servo.get(reg.LOCK) == 1
    assert compare(bus, CALIBRATION) == ()


@given(st.sampled_from(Rule), st.integers(0, 255), st.integers(0, 255))
def test_a_mended_number_needs_no_mending_and_a_good_one_stays(rule, value, found):
    want = Want(reg.PHASE, value, rule)
    mended = want.mend(found)
    assert want.mend(mended) == mended
    assert {
        Rule.IS: mended == value,
        Rule.AT_MOST: mended <= value,
        Rule.HAS_BITS: mended & value == value,
        Rule.LACKS_BITS: mended & value == 0,
    }[rule]


def test_nothing_is_mended_while_a_servo_holds():
    port, bus = make()
    port.by_id(2).set(reg.P_COEFFICIENT, 32)
    port.by_id(4).set(reg.TORQUE_ENABLE, 1)
    with pytest.raises(HardwareError, match="wrist_flex hold"):
        boot(bus, CALIBRATION, write_eeprom=True)
    assert writes_of(port) == []
    assert port.by_id(4).get(reg.TORQUE_ENABLE) == 1


@pytest.mark.case(9)
def test_a_missing_servo_is_named_with_those_that_are_there():
    port, bus = make()
    port.servos = [servo for servo in port.servos if servo.id != 3]
    with pytest.raises(
        HardwareError, match=r"elbow_flex: no servo has the id 3; .* 1, 2, 4, 5, 6"
    ):
        boot(bus, CALIBRATION, write_eeprom=False)
    port.servos = []
    with pytest.raises(HardwareError, match="is the supply on"):
        boot(bus, CALIBRATION, write_eeprom=False)


@pytest.mark.case(9)
def test_two_servos_of_one_id_are_told_apart_from_none():
    port, bus = make()
    port.servos.append(Servo(3))
    with pytest.raises(HardwareError, match=r"id 3 answers .* two servos have this id"):
        boot(bus, CALIBRATION, write_eeprom=False)
    port.servos.pop()
    port.spoil = lambda servo, data: data[:-1] + b"\x00" if servo == 3 else data
    with pytest.raises(HardwareError, match=r"id 3 answers .* or a cable is bad"):
        boot(bus, CALIBRATION, write_eeprom=False)


@pytest.mark.case(9)
def test_another_model_is_refused():
    port, bus = make()
    port.by_id(6).set(reg.MODEL_NUMBER, 1029)
    with pytest.raises(HardwareError, match=r"gripper \(id 6\) is model 1029, expected .*777"):
        boot(bus, CALIBRATION, write_eeprom=False)
