"""A calibrated arm of scripted servos."""

from scripted_servos import ScriptedPort, Servo

from so101.robot import JOINTS, so101
from so101.servos.calibration import LAST_TICK, Calibration, JointCalibration


def calibration():
    """Return one whose ranges are a bit wider than the URDF's."""
    spec, joints = so101(), []
    for number, name in enumerate(JOINTS):
        if name == "wrist_roll":
            low, high = 0, LAST_TICK
        else:
            half = round((spec.upper - spec.lower)[number] / 2 / 6.283185307 * LAST_TICK) + 20
            low, high = 2047 - half, 2047 + half
        joints.append(
            JointCalibration(
                id=number + 1, homing_offset=7 * number, range_min=low, range_max=high
            )
        )
    return Calibration(tuple(joints), "test.json")


def scripted_arm():
    """Return a port with the six servos of `calibration`."""
    return ScriptedPort(Servo(joint.id, joint) for joint in calibration().joints)
