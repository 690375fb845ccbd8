"""Laws of the arm over servos: inert at first, one write per tick, faults by name and in time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_arm import calibration, scripted_arm

from hardware_node.arm import MOST_MISSES, ServoArm
from hardware_node.overload import RETREAT_RAD
from hardware_node.params import HardwareParams
from hardware_node.settings import settings_of
from so101.clock import CONTROL_GRID, nanoseconds
from so101.control.arm_loop import ArmLoop
from so101.control.arm_mode import ArmMode
from so101.control.safety import SafetyGate
from so101.control.trajectory import JointTrajectory
from so101.errors import HardwareError, PortLostError
from so101.robot import GRIPPER, JOINTS, so101
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.packets import ServoErrors

SPEC = so101()
CALIBRATION = calibration()
SETTINGS = settings_of(HardwareParams())
TICK_RAD = 2 * np.pi / 4095


class Rig:
    """An arm behind its loop, with time that passes tick by tick."""

    def __init__(self, *, is_on=True):
        self.port = scripted_arm()
        self.arm = ServoArm(CALIBRATION, SPEC, SETTINGS, now_ns=self.port.now_ns)
        self.loop = ArmLoop(self.arm, SPEC, SafetyGate(SPEC, None))
        self.attach()
        self.index = 0
        self.tick()
        if is_on:
            self.switch_on()

    def attach(self):
        return self.arm.attach(ServoBus(self.port, now_ns=self.port.now_ns))

    def tick(self, count=1):
        for _ in range(count):
            self.index = max(self.index + 1, CONTROL_GRID.ceil(self.port.clock_ns))
            self.port.clock_ns = CONTROL_GRID.stamp(self.index)
            tick = self.loop.tick(self.port.clock_ns)
        return tick

    def switch_on(self):
        self.arm.check()
        self.loop.arm()
        self.arm.switch_on()

    def follow(self, goal, duration_s):
        at = self.port.clock_ns
        trajectory = JointTrajectory(
            stamp_ns=at,
            joints=JOINTS,
            times_ns=(nanoseconds(duration_s),),
            positions=np.array([goal]),
        )
        self.loop.follow(trajectory, at)

    def goals(self):
        return self.port.writes(reg.GOAL_POSITION)

    def fault(self):
        assert self.loop.mode is ArmMode.FAULT
        return self.loop.state_event(0).values["reason"]


def test_nothing_is_sent_before_it_is_switched_on():
    rig = Rig(is_on=False)
    rig.tick(60)
    assert rig.goals() == []
    assert rig.port.writes(reg.TORQUE_ENABLE) == []
    assert rig.loop.mode is ArmMode.DISARMED


@given(st.lists(st.integers(1000, 3000), min_size=6, max_size=6))
def test_the_first_goal_is_where_the_arm_is_and_comes_before_the_torque(ticks):
    rig = Rig(is_on=False)
    for servo, at in zip(rig.port.servos, ticks, strict=True):
        servo.set(reg.PRESENT_POSITION, at)
    rig.tick(8)  # a person moved it; it takes a few readings to be believed
    rig.loop = ArmLoop(rig.arm, SPEC, SafetyGate(SPEC, None))
    rig.tick()
    rig.loop.arm()
    rig.port.requests.clear()
    rig.arm.switch_on()
    measured = dict(enumerate(ticks, start=1))
    assert rig.goals() == [measured]
    assert rig.port.writes(reg.TORQUE_ENABLE) == [dict.fromkeys(range(1, 7), 1)]
    rig.tick(3)
    assert all(goal == measured for goal in rig.goals())


def test_a_tick_is_one_sync_read_one_slow_read_and_one_sync_write():
    rig = Rig()
    rig.port.requests.clear()
    rig.tick(12)
    codes = [packet.code.to_bytes(1, "little").hex() for packet in rig.port.requests]
    assert codes == ["82", "02", "83"] * 12
    assert [packet.id for packet in rig.port.requests[1::3]] == [2, 3, 4, 5, 6, 1] * 2


def test_it_follows_and_says_what_it_sent():
    rig = Rig()
    goal = np.array(rig.arm.read_state().positions) + 0.2
    rig.follow(goal, 0.5)
    tick = rig.tick(60)
    assert np.array_equal(tick.command, goal)
    assert tick.state.positions == pytest.approx(goal, abs=TICK_RAD)
    sent = np.array([rig.goals()[-1][servo] for servo in CALIBRATION.ids])
    assert CALIBRATION.to_rad(sent) == pytest.approx(goal, abs=TICK_RAD / 1.9)


@pytest.mark.case(1)
def test_a_lost_reply_changes_nothing_and_is_counted():
    rig = Rig()
    rig.port.spoil = iter_spoiler([b"" if n == 3 else None for n in range(6)])
    rig.tick()
    assert rig.arm.is_fresh
    assert rig.arm.bus.counts.lost == 1
    assert rig.loop.mode is ArmMode.HOLDING


def iter_spoiler(deeds):
    left = list(deeds)

    def spoil(servo, data):
        deed = left.pop(0) if left else None
        return data if deed is None else deed

    return spoil


@pytest.mark.case(2)
def test_three_silent_readings_are_a_fault_within_100_ms_and_nothing_is_sent_then():
    rig = Rig()
    rig.tick()
    silent_ns = rig.port.clock_ns
    rig.port.spoil = lambda servo, data: b""
    for misses in range(1, MOST_MISSES):
        rig.tick()
        assert rig.loop.mode is ArmMode.HOLDING
        assert rig.arm.misses == misses
        assert not rig.arm.is_fresh
    rig.tick()
    assert rig.port.clock_ns - silent_ns <= nanoseconds(0.1)
    assert "no answer from servo" in rig.fault()
    rig.port.requests.clear()
    rig.tick(5)
    assert rig.goals() == []


def test_after_silence_only_a_person_brings_it_back():
    rig = Rig()
    rig.port.spoil = lambda servo, data: b""
    rig.tick(5)
    rig.port.spoil = lambda servo, data: data
    rig.tick(30)
    assert rig.loop.mode is ArmMode.FAULT
    rig.loop.recover()
    rig.tick(5)
    assert rig.loop.mode is ArmMode.DISARMED


@pytest.mark.case(3)
def test_a_pulled_plug_is_a_fault_at_once_and_closes_the_port():
    rig = Rig()
    rig.port.is_gone = True
    rig.tick()
    assert "no such device" in rig.fault()
    assert rig.arm.bus is None
    assert rig.port.is_closed


@pytest.mark.case(3)
def test_plugged_in_again_it_holds_on_until_a_person_arms_it_and_never_jumps():
    rig = Rig()
    rig.port.is_gone = True
    rig.tick(3)
    rig.port.is_gone = False
    assert rig.attach().is_torque_on == (True,) * 6
    rig.port.requests.clear()
    rig.tick(10)
    assert rig.loop.mode is ArmMode.FAULT
    assert rig.goals() == []
    at = {servo.id: servo.get(reg.PRESENT_POSITION) for servo in rig.port.servos}
    rig.loop.recover()
    rig.switch_on()
    rig.tick(3)
    assert rig.loop.mode is ArmMode.HOLDING
    assert all(goal == at for goal in rig.goals())


@pytest.mark.case(4)
@given(st.integers(0, 5), st.sampled_from([-1000, 1000]))
def test_an_encoder_that_jumps_is_left_out_twice_and_then_a_fault(joint, ticks):
    rig = Rig()
    servo = rig.port.servos[joint]
    before = rig.tick().state.positions
    rig.port.requests.clear()
    servo.is_frozen = True  # the goal does not put it right again
    servo.set(reg.PRESENT_POSITION, servo.get(reg.PRESENT_POSITION) + ticks)
    for _ in range(2):
        assert np.array_equal(rig.tick().state.positions, before)
        assert rig.loop.mode is ArmMode.HOLDING
    tick = rig.tick()
    assert f"{JOINTS[joint]}: its encoder jumped" in rig.fault()
    assert np.array_equal(tick.state.positions, before)
    assert len({tuple(goal.items()) for goal in rig.goals()}) == 1  # no command came of it


@pytest.mark.case(5)
@given(st.integers(0, 4))
def test_a_frozen_encoder_is_a_fault_within_300_ms(joint):
    rig = Rig()
    goal = np.array(rig.tick().state.positions)
    goal[joint] += 0.8
    rig.follow(goal, 1.0)
    rig.tick(15)
    rig.port.servos[joint].is_frozen = True
    frozen_ns = rig.port.clock_ns
    while rig.loop.mode is not ArmMode.FAULT:
        rig.tick()
        assert rig.port.clock_ns - frozen_ns <= nanoseconds(0.3) + CONTROL_GRID.stamp(2)
    assert f"{JOINTS[joint]}: does not follow" in rig.fault()


@pytest.mark.case(7)
def test_a_voltage_dip_is_a_fault():
    rig = Rig()
    for servo in rig.port.servos:
        servo.set(reg.PRESENT_VOLTAGE, 55)
    rig.tick()
    assert "5.5 V, expected at least 9.6 V" in rig.fault()


@pytest.mark.case(8)
@given(st.integers(0, 5))
def test_an_overloaded_joint_lets_go_by_two_degrees_and_the_arm_goes_on(joint):
    rig = Rig()
    measured = rig.tick().state.positions
    rig.port.servos[joint].is_frozen = True  # something is in its way
    rig.port.servos[joint].bits = int(ServoErrors.OVERLOAD)
    tick = rig.tick(20)
    assert rig.loop.mode is ArmMode.HOLDING
    assert tick.command[joint] == pytest.approx(measured[joint] - RETREAT_RAD, abs=TICK_RAD)
    assert rig.arm.overloads[joint] == 1


@pytest.mark.case(8)
def test_the_third_overload_needs_a_person():
    rig = Rig()
    for _ in range(3):
        rig.port.by_id(2).bits = int(ServoErrors.OVERLOAD)
        rig.tick(2)
        rig.port.by_id(2).bits = 0
        rig.tick(2)
    assert "shoulder_lift: overloaded 3 times" in rig.fault()


@pytest.mark.parametrize(
    "bits", [ServoErrors.VOLTAGE, ServoErrors.ENCODER, ServoErrors.TEMPERATURE]
)
def test_a_servo_without_force_is_a_fault(bits):
    rig = Rig()
    rig.port.by_id(4).bits = int(bits)
    rig.tick()
    assert f"wrist_flex (id 4) reports {bits.name.lower()}" in rig.fault()


@pytest.mark.case(10)
@given(st.integers(0, 5))
def test_a_restarted_servo_is_a_fault_within_a_second_and_is_set_up_again(joint):
    rig = Rig()
    rig.tick()
    servo = rig.port.servos[joint]
    servo.restart()
    began_ns = rig.port.clock_ns
    while rig.loop.mode is not ArmMode.FAULT:
        rig.tick()
        assert rig.port.clock_ns - began_ns < nanoseconds(1.0)
    assert f"{JOINTS[joint]} (id {servo.id})" in rig.fault()
    assert "was restarted" in rig.fault()
    rig.tick()
    rig.loop.recover()
    rig.switch_on()
    rig.tick(20)
    assert rig.loop.mode is ArmMode.HOLDING
    assert servo.get(reg.TORQUE_LIMIT) == (400 if joint == GRIPPER else 700)
    assert servo.get(reg.TORQUE_ENABLE) == 1


def test_torque_is_not_dropped_while_something_is_held():
    rig = Rig()
    rig.port.by_id(6).set(reg.PRESENT_LOAD, -150)
    rig.tick()
    with pytest.raises(HardwareError, match="holds something"):
        rig.arm.switch_off()
    assert rig.port.by_id(6).get(reg.TORQUE_ENABLE) == 1
    rig.port.by_id(6).set(reg.PRESENT_LOAD, 20)
    rig.tick()
    rig.arm.switch_off()
    assert all(servo.get(reg.TORQUE_ENABLE) == 0 for servo in rig.port.servos)
    rig.port.requests.clear()
    rig.tick(5)
    assert rig.goals() == []


def test_what_a_driver_before_left_holding_is_not_dropped():
    port = scripted_arm()
    for servo in port.servos:
        servo.set(reg.TORQUE_ENABLE, 1)
    arm = ServoArm(CALIBRATION, SPEC, SETTINGS, now_ns=port.now_ns)
    arm.attach(ServoBus(port, now_ns=port.now_ns))
    assert arm.is_torque_on
    assert port.writes(reg.TORQUE_ENABLE) == []


def test_without_a_port_there_is_nothing_to_read():
    arm = ServoArm(CALIBRATION, SPEC, SETTINGS, now_ns=lambda: 0)
    with pytest.raises(HardwareError, match="not connected"):
        arm.read_state()
    rig = Rig()
    rig.port.is_gone = True
    with pytest.raises(PortLostError):
        rig.arm.write_goal(SPEC.home)
    with pytest.raises(HardwareError, match="no such device"):
        rig.arm.read_state()


def test_units_are_of_the_calibration():
    rig = Rig()
    rig.port.by_id(1).set(reg.PRESENT_VELOCITY, -1000)
    rig.port.by_id(1).set(reg.PRESENT_LOAD, 500)
    state = rig.tick().state
    assert state.velocities[0] == pytest.approx(-1000 * TICK_RAD)
    assert state.effort[0] == pytest.approx(0.5 * SPEC.max_effort[0])
    assert state.positions[:5] == pytest.approx(np.zeros(5), abs=TICK_RAD)
    middle = (SPEC.lower + SPEC.upper)[GRIPPER] / 2
    assert state.positions[GRIPPER] == pytest.approx(middle, abs=TICK_RAD)
