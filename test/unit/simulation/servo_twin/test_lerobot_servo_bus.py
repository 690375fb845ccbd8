"""LeRobot's own bus, unmodified, takes the twin for a robot: that is what the twin is worth."""

import json
import time
from importlib.util import find_spec

import pytest
from servo_processes import servo_twins

from so101.robot import JOINTS

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("lerobot", "scservo_sdk", "serial", "deepdiff")),
    reason="LeRobot's Feetech bus is not installed: pip install 'lerobot[feetech]==0.6.1'",
)
PATIENCE_S = 20.0


@pytest.fixture
def bus(tmp_path):
    """LeRobot's bus, connected to a calibrated twin."""
    from lerobot.motors import Motor, MotorCalibration, MotorNormMode
    from lerobot.motors.feetech import FeetechMotorsBus

    with servo_twins() as start:
        start("--link", tmp_path / "port", "--calibration", tmp_path / "arm.json")
        rows = json.loads((tmp_path / "arm.json").read_text())
        modes = {"gripper": MotorNormMode.RANGE_0_100}
        motors = {
            name: Motor(number, "sts3215", modes.get(name, MotorNormMode.DEGREES))
            for number, name in enumerate(JOINTS, 1)
        }
        calibration = {name: MotorCalibration(**row) for name, row in rows.items()}
        bus = FeetechMotorsBus(str(tmp_path / "port"), motors, calibration)
        bus.connect()
        yield bus
        bus.disconnect()


def test_it_connects_and_finds_the_calibration_in_the_servos(bus):
    assert bus.is_calibrated
    assert bus.broadcast_ping() == dict.fromkeys(range(1, 7), 777)


def test_it_configures_reads_and_writes_registers(bus):
    bus.configure_motors()
    bus.write("P_Coefficient", "elbow_flex", 16)
    assert bus.read("P_Coefficient", "elbow_flex", normalize=False) == 16
    assert bus.read("P_Coefficient", "gripper", normalize=False) == 32
    assert bus.read("Return_Delay_Time", "gripper", normalize=False) == 0
    assert set(bus.sync_read("Present_Temperature", normalize=False)) == set(JOINTS)
    assert bus.read("Homing_Offset", "shoulder_lift", normalize=False) == -420


def test_it_moves_a_joint(bus):
    bus.sync_write("Goal_Position", bus.sync_read("Present_Position"))
    bus.enable_torque()
    bus.sync_write("Goal_Position", {"shoulder_pan": 20.0, "gripper": 60.0})
    end = time.monotonic() + PATIENCE_S
    while True:
        found = bus.sync_read("Present_Position")
        if abs(found["shoulder_pan"] - 20.0) < 1.0 and abs(found["gripper"] - 60.0) < 1.0:
            break
        assert time.monotonic() < end, found
    bus.disable_torque()
    assert bus.sync_read("Torque_Enable", normalize=False) == dict.fromkeys(JOINTS, 0)
