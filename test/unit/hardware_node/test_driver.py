"""What the whole arm does when asked, over scripted servos and in real time."""

import threading
import time

import numpy as np
import pytest
from scripted_arm import calibration, scripted_arm

from hardware_node.driver import Driver
from hardware_node.params import HardwareParams
from hardware_node.telling import diagnostics_of
from so101.clock import nanoseconds
from so101.control.arm_mode import ArmMode
from so101.control.trajectory import JointTrajectory
from so101.errors import HardwareError, MotionError
from so101.events import ERROR, OK, WARN
from so101.robot import GRIPPER, JOINTS, so101
from so101.servos import registers as reg
from so101.servos.bus import ServoBus

SPEC = so101()
CALIBRATION = calibration()
PATIENCE_S = 20.0


class Rig:
    """A driver in its thread; waiting is for events, never for a time."""

    def __init__(self, **params):
        self.port = scripted_arm()
        self.put_at(SPEC.home)
        self.ticked = threading.Condition()
        self.driver = Driver(
            HardwareParams(check_collisions=False, rest_speed=1.0, **params),
            CALIBRATION,
            self.open_bus,
            self.on_tick,
        )
        self.driver.connect()
        self.driver.thread.start()
        self.until(lambda: self.driver.newest is not None)

    def put_at(self, pose):
        for servo, ticks in zip(self.port.servos, CALIBRATION.to_ticks(pose), strict=True):
            servo.set(reg.PRESENT_POSITION, int(ticks))

    def open_bus(self):
        if self.port.is_gone:
            raise HardwareError("/dev/scripted: there is no such device")
        self.port.is_closed = False
        return ServoBus(self.port)

    def on_tick(self, stamp_ns, tick):
        with self.ticked:
            self.ticked.notify_all()

    def until(self, is_so):
        """Supervise until something is so; return what was said."""
        said, end_s = [], time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end_s, said
            with self.ticked:
                self.ticked.wait(0.1)
            words = self.driver.supervise()
            said += [words] if words else []
        return said

    def follow(self, goal, duration_s):
        self.driver.follow(
            JointTrajectory(
                stamp_ns=time.monotonic_ns(),
                joints=JOINTS,
                times_ns=(nanoseconds(duration_s),),
                positions=np.array([goal]),
            )
        )

    @property
    def mode(self):
        return self.driver.loop.mode

    @property
    def torque(self):
        return [servo.get(reg.TORQUE_ENABLE) for servo in self.port.servos]

    def measured(self):
        ticks = np.array([servo.get(reg.PRESENT_POSITION) for servo in self.port.servos])
        return CALIBRATION.to_rad(ticks)


@pytest.fixture
def make():
    rigs = []

    def build(**params):
        rigs.append(Rig(**params))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.driver.close()


def test_nothing_moves_until_a_person_arms_it(make):
    rig = make()
    with pytest.raises(Exception, match="cannot follow while disarmed"):
        rig.follow(SPEC.home + 0.1, 0.2)
    assert rig.torque == [0] * 6
    assert rig.driver.switch_arm(True) == "armed"
    assert rig.torque == [1] * 6
    assert rig.mode is ArmMode.HOLDING
    assert rig.measured() == pytest.approx(SPEC.home, abs=1e-3)
    rig.follow(SPEC.home + 0.1, 0.2)
    rig.until(lambda: rig.mode is ArmMode.HOLDING)
    assert rig.measured() == pytest.approx(SPEC.home + 0.1, abs=1e-3)


def test_torque_is_switched_only_where_nothing_moves_or_is_armed(make):
    rig = make()
    rig.driver.switch_arm(True)
    with pytest.raises(MotionError, match="disarm it before"):
        rig.driver.switch_torque(False)
    rig.driver.switch_arm(False)
    assert rig.torque == [1] * 6
    assert rig.driver.switch_torque(False) == "the arm is loose"
    assert rig.torque == [0] * 6
    rig.driver.switch_torque(True)
    assert rig.torque == [1] * 6
    assert rig.mode is ArmMode.DISARMED


def test_moving_torque_stays_on(make):
    rig = make()
    rig.driver.switch_torque(True)
    rig.port.by_id(2).set(reg.PRESENT_VELOCITY, 400)
    rig.until(lambda: abs(rig.driver.newest.state.velocities[1]) > 0.1)
    with pytest.raises(MotionError, match="it moves"):
        rig.driver.switch_torque(False)


def test_an_arm_moved_by_hand_does_not_jump_when_it_is_armed(make):
    rig = make()
    moved = SPEC.home + np.array([0.8, 0.3, -0.4, -0.3, 0.5, 0.4])
    for share in np.linspace(0.1, 1.0, 10):  # as fast as a hand, not as a jump
        at = SPEC.home + share * (moved - SPEC.home)
        rig.put_at(at)
        rig.until(lambda at=at: np.allclose(rig.driver.newest.state.positions, at, atol=1e-2))
    rig.port.requests.clear()
    rig.driver.switch_arm(True)
    rig.until(lambda: len(rig.port.writes(reg.GOAL_POSITION)) > 5)
    goals = [list(goal.values()) for goal in rig.port.writes(reg.GOAL_POSITION)]
    assert np.abs(np.diff(goals, axis=0)).max() <= 1
    assert CALIBRATION.to_rad(np.array(goals[0])) == pytest.approx(moved, abs=2e-3)


def test_ending_puts_the_arm_at_rest_and_lets_go(make):
    rig = make()
    rig.driver.switch_arm(True)
    assert rig.driver.put_down() == "at rest, the arm is loose"
    expected = SPEC.poses["rest"].copy()
    expected[GRIPPER] = SPEC.home[GRIPPER]
    assert rig.measured() == pytest.approx(expected, abs=0.02)
    assert rig.torque == [0] * 6


def test_ending_never_drops_what_the_gripper_holds(make):
    rig = make()
    rig.driver.switch_arm(True)
    rig.port.by_id(6).set(reg.PRESENT_LOAD, 200)
    rig.until(lambda: rig.driver.arm.is_holding_something)
    assert "holds something" in rig.driver.put_down()
    assert rig.torque == [1] * 6


@pytest.mark.parametrize("stop", ["disarm", "estop"])
def test_an_arm_that_is_not_armed_is_not_moved_at_the_end(make, stop):
    rig = make()
    rig.driver.switch_arm(True)
    rig.driver.switch_arm(False) if stop == "disarm" else rig.driver.estop("test")
    said = rig.driver.put_down()
    assert "holds where it is" in said
    assert rig.measured() == pytest.approx(SPEC.home, abs=1e-3)
    assert rig.torque == [1] * 6


@pytest.mark.case(3)
def test_a_lost_port_is_tried_again_and_a_person_brings_it_back(make):
    rig = make()
    rig.driver.switch_arm(True)
    rig.port.is_gone = True
    said = rig.until(lambda: rig.driver.arm.bus is None and rig.mode is ArmMode.FAULT)
    rig.until(lambda: not rig.driver._backoff.is_due(time.monotonic_ns()))
    rig.port.is_gone = False
    said = rig.until(lambda: rig.driver.arm.is_fresh)
    assert any("connected again" in words for words in said)
    assert rig.mode is ArmMode.FAULT
    with pytest.raises(MotionError, match="recover it first"):
        rig.driver.switch_arm(True)
    rig.until(lambda: not rig.driver.loop._is_silent)
    rig.driver.loop.recover()
    assert rig.mode is ArmMode.DISARMED
    rig.driver.switch_arm(True)
    assert rig.mode is ArmMode.HOLDING


@pytest.mark.case(6)
def test_a_servo_too_hot_sends_the_arm_to_rest_and_it_stays_there(make):
    rig = make()
    rig.driver.switch_arm(True)
    rig.port.by_id(3).set(reg.PRESENT_TEMPERATURE, 66)
    said = rig.until(lambda: rig.mode is ArmMode.DISARMED)
    assert "66 °C: going to the rest pose" in said[0]
    assert rig.torque == [0] * 6
    with pytest.raises(MotionError, match="let it cool down"):
        rig.driver.switch_arm(True)


@pytest.mark.case(6)
def test_nobody_commands_an_arm_on_its_way_to_rest(make):
    rig = make()
    rig.driver.switch_arm(True)
    rig.port.by_id(3).set(reg.PRESENT_TEMPERATURE, 66)
    rig.until(lambda: rig.mode is ArmMode.ARMED)
    with pytest.raises(MotionError, match="on its way to rest"):
        rig.follow(SPEC.home, 1.0)
    rig.driver.estop("a person")
    assert rig.mode is ArmMode.ESTOPPED


@pytest.mark.case(23)
def test_an_estop_is_latched(make):
    rig = make()
    rig.driver.switch_arm(True)
    rig.follow(SPEC.home + 0.5, 1.0)
    rig.driver.estop("a person")
    rig.until(lambda: rig.driver.loop.is_settled)
    with pytest.raises(MotionError, match="recover it first"):
        rig.driver.switch_arm(True)
    assert rig.mode is ArmMode.ESTOPPED


@pytest.mark.case(2, 6)
def test_diagnostics_say_what_is_wrong_where(make):
    rig = make()
    event = diagnostics_of(rig.driver, rig.driver.judge(), 7)
    assert (event.level, event.message) == (OK, "hottest 30 °C")
    assert event.values["elbow_flex: voltage [V]"] == "12.0"
    assert event.values["port"] == "/dev/scripted"
    rig.port.by_id(1).set(reg.PRESENT_TEMPERATURE, 57)
    rig.until(lambda: rig.driver.arm.vitals.hottest == 57)
    assert diagnostics_of(rig.driver, rig.driver.judge(), 7).level == WARN
    rig.port.spoil = lambda servo, data: b""
    rig.until(lambda: rig.mode is ArmMode.FAULT)
    event = diagnostics_of(rig.driver, rig.driver.judge(), 7)
    assert event.level == ERROR
    assert "no answer from servo" in event.message
