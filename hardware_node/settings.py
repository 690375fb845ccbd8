"""What a person chose for the arm, as the servos and the arm loop need it."""

from dataclasses import dataclass, replace

import numpy as np

from hardware_node.health import HealthLimits
from hardware_node.params import HardwareParams
from so101.arrays import frozen
from so101.robot import GRIPPER, RobotSpec
from so101.servos.calibration import Calibration

ACCELERATION = 254
"""The servos' own limit of acceleration, the largest there is: 39 rad/s²."""

VELOCITY_ROOM = 1.2
"""The servos' own limit of velocity, as a multiple of ours: no wrong goal is met faster."""


@dataclass(frozen=True, kw_only=True)
class ArmSettings:
    """What a person chose for the servos.

    Attributes:
        torque_limit: Of the body joints [0.1 %].
        gripper_torque_limit: Of the gripper [0.1 %].
        write_eeprom: Put right what the servos remember.
        health: Where health is judged.
    """

    torque_limit: int
    gripper_torque_limit: int
    write_eeprom: bool
    health: HealthLimits


def settings_of(params: HardwareParams) -> ArmSettings:
    """Return the part of the node's parameters that concerns the servos."""
    health = HealthLimits(
        voltage_dip=params.voltage_dip,
        voltage_low=params.voltage_low,
        warm=params.warm,
        hot=params.hot,
        too_hot=params.too_hot,
        relief=params.relief,
        current=params.high_current,
        load=params.high_load,
        bus_errors=params.bus_errors,
        late_ticks=params.late_ticks,
    )
    return ArmSettings(
        torque_limit=params.torque_limit,
        gripper_torque_limit=params.gripper_torque_limit,
        write_eeprom=params.write_eeprom,
        health=health,
    )


def servo_settings(
    settings: ArmSettings, spec: RobotSpec, calibration: Calibration
) -> tuple[tuple[int, int, int], ...]:
    """Return acceleration, goal velocity and torque limit of each servo, as its registers say."""
    speeds = VELOCITY_ROOM * spec.max_velocity / calibration.rad_per_tick
    limits = [settings.torque_limit] * len(spec.joints)
    limits[GRIPPER] = settings.gripper_torque_limit
    return tuple(
        (ACCELERATION, round(speed), limit)
        for speed, limit in zip(speeds.tolist(), limits, strict=True)
    )


def within(spec: RobotSpec, calibration: Calibration) -> RobotSpec:
    """Return the robot with no more range than an arm was calibrated for."""
    return replace(
        spec,
        lower=frozen(np.maximum(spec.lower, calibration.lower)),
        upper=frozen(np.minimum(spec.upper, calibration.upper)),
    )
