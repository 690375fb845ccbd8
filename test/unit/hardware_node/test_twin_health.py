"""Cases 6 to 8 on the twin, by the whole driver: what comes before a fault, and after it."""

import numpy as np
import pytest
from virtual_twin import SPEC, TwinPort

from hardware_node.driver import Driver
from hardware_node.params import HardwareParams
from so101.clock import CONTROL_GRID, nanoseconds
from so101.control.arm_mode import ArmMode
from so101.control.trajectory import JointTrajectory
from so101.errors import MotionError
from so101.events import OK, WARN
from so101.robot import JOINTS
from so101.servos.bus import ServoBus
from so101.servos.calibration import read_calibration
from so101.simulation.servo_twin.assembly import Assembly

WAY = np.array([0.4, 0.4, -0.4, 0.2, 0.4, 0.4])
"""A way from home on which the arm meets nothing [rad]."""

HOT = HardwareParams().hot_speed * SPEC.max_velocity


class Arm:
    """A driver whose ticks, supervision and seconds are called by the test."""

    def __init__(self, path):
        Assembly().write_calibration(path)
        self.port = TwinPort(SPEC.home)
        self.driver = Driver(
            HardwareParams(check_collisions=False, rest_speed=1.0, write_eeprom=True),
            read_calibration(path),
            lambda: ServoBus(self.port, now_ns=self.port.now_ns),
            lambda stamp_ns, tick: None,
            now_ns=self.port.now_ns,
            steady_ns=self.port.now_ns,
        )
        self.driver.connect()
        self.index, self.commands, self.said = 0, [], []
        self.tick()
        self.driver.switch_arm(True)
        self.driver.judge()

    def tick(self, count=1):
        for _ in range(count):
            self.index = max(self.index + 1, CONTROL_GRID.ceil(self.port.clock_ns))
            self.port.advance(CONTROL_GRID.stamp(self.index))
            tick = self.driver.loop.tick(self.port.clock_ns)
            self.driver._on_tick(self.port.clock_ns, tick)
            self.commands.append(tick.command)
            words = self.driver.supervise()
            self.said += [words] if words else []

    def second(self):
        """Let a second pass; return how the arm was in it."""
        self.tick(60)
        return self.driver.judge()

    def until(self, holds, seconds=20):
        """Return how the arm was in the first second after which something holds."""
        for _ in range(seconds):
            judgement = self.second()
            if holds(judgement):
                return judgement
        raise AssertionError(judgement)

    def heats(self, joint, celsius):
        self.port.run(f"heat {joint} {celsius} 1")

    def goes(self, offset, duration_s):
        at = self.port.clock_ns
        self.driver.follow(
            JointTrajectory(
                stamp_ns=at,
                joints=JOINTS,
                times_ns=(nanoseconds(duration_s),),
                positions=np.array([self.commands[-1] + offset]),
            )
        )

    def speeds(self):
        """Return the highest speed that was commanded, of each joint [rad/s]."""
        return np.abs(np.diff(self.commands, axis=0)).max(axis=0) * 60

    @property
    def mode(self):
        return self.driver.loop.mode


@pytest.fixture
def arm(tmp_path):
    return Arm(tmp_path / "arm.json")


@pytest.mark.case(6)
def test_case_6_a_warm_arm_is_warned_of_and_goes_on_as_fast(arm):
    arm.heats("elbow_flex", 57)
    warned = arm.until(lambda judgement: judgement.level == WARN)
    assert warned.pause == ""
    arm.commands.clear()
    arm.tick()
    arm.goes(WAY, 0.4)
    arm.tick(30)
    assert (arm.speeds() > HOT).all()


@pytest.mark.case(6)
def test_case_6_a_hot_arm_ends_its_way_slowly_and_begins_no_other_until_it_has_cooled(arm):
    arm.heats("elbow_flex", 62)
    paused = arm.until(lambda judgement: judgement.pause)
    assert paused.pause.startswith("elbow_flex: temperature reached 6")
    assert paused.pause.endswith("going on below 55 °C")
    arm.commands.clear()
    arm.tick()
    goal = arm.commands[-1] + WAY
    arm.goes(WAY, 0.4)
    arm.tick(120)
    assert (arm.speeds() <= HOT + 1e-9).all()
    assert arm.mode is not ArmMode.FAULT and np.allclose(arm.commands[-1], goal)
    arm.heats("elbow_flex", 57)  # cooler, but not by enough
    assert [arm.second().pause for _ in range(4)] == [paused.pause] * 4
    arm.heats("elbow_flex", 45)
    calm = arm.until(lambda judgement: not judgement.pause)
    arm.until(lambda judgement: judgement.level == OK)
    assert calm.pause == ""
    arm.commands.clear()
    arm.tick()
    arm.goes(-WAY, 0.4)
    arm.tick(30)
    assert (arm.speeds() > HOT).all()


@pytest.mark.case(6)
def test_case_6_an_arm_that_is_too_hot_goes_to_rest_and_is_loose_there(arm):
    arm.heats("wrist_flex", 66)
    arm.until(lambda judgement: arm.mode is ArmMode.DISARMED)
    assert any("°C: going to the rest pose" in words for words in arm.said)
    assert arm.said[-1] == "at rest, the arm is loose"
    arm.heats("wrist_flex", 58)  # a torque that comes back would heat it again
    arm.until(lambda judgement: arm.driver.arm.vitals.hottest < 59)
    with pytest.raises(MotionError, match=r"wrist_flex: temperature reached .* below 55 °C"):
        arm.driver.switch_arm(True)
    arm.heats("wrist_flex", 50)
    arm.until(lambda judgement: not judgement.pause)
    assert arm.driver.switch_arm(True) == "armed"


@pytest.mark.case(7)
def test_case_7_a_supply_that_gives_in_is_told_of_before_it_is_a_fault(arm):
    arm.port.run("voltage 10.4 0.3")
    low = arm.until(lambda judgement: judgement.pause, 2)
    assert all(f"{joint}: voltage reached" in low.pause for joint in JOINTS)
    assert arm.mode is ArmMode.HOLDING
    arm.until(lambda judgement: not judgement.pause, 3)


@pytest.mark.case(8)
def test_case_8_a_joint_that_was_overloaded_twice_waits_for_a_person(arm):
    for _ in range(2):
        arm.port.run("overload shoulder_lift 0.1")
        judgement = arm.second()
    assert "shoulder_lift: overloaded 2 times" in judgement.pause
    arm.driver.switch_arm(False)
    assert "shoulder_lift" in arm.second().pause
    arm.driver.switch_arm(True)
    assert arm.second().pause == ""


def test_an_arm_at_work_is_no_reason_to_pause(arm):
    """Its own currents and loads, on a way there and back at a third of the speed there is."""
    for sign in (1, -1, 1, -1):
        arm.goes(sign * WAY, 0.4)
        judgement = arm.second()
        assert (judgement.level, judgement.pause) == (OK, ""), judgement
