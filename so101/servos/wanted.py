"""What the servos have to remember, and what differs: one table to calibrate, drive and look by.

Rules leave room where there is no one right value. LeRobot's own set-up of a follower keeps those
of limits, gains and gripper; servos from the factory do not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from so101.robot import GRIPPER, JOINTS
from so101.servos import registers as reg
from so101.servos.calibration import Calibration, JointCalibration
from so101.servos.packets import ServoErrors
from so101.servos.registers import Register

MULTI_TURN = 0x10
"""Bit of the phase register that makes a servo count turns; the calibration knows one turn."""

POSITION_MODE = 0
_UNLOADING = ServoErrors.TEMPERATURE | ServoErrors.CURRENT | ServoErrors.OVERLOAD


class Rule(Enum):
    """How a register's number has to relate to the wanted one."""

    IS = ""
    AT_MOST = "at most "
    HAS_BITS = "bits set "
    LACKS_BITS = "bits clear "


@dataclass(frozen=True, slots=True)
class Want:
    """What one register has to say.

    Attributes:
        register: Which.
        value: A number, or bits.
        rule: How it is compared.
    """

    register: Register
    value: int
    rule: Rule = Rule.IS

    def mend(self, found: int) -> int:
        """Return the number nearest to the one found that is as wanted; itself when it is."""
        if self.rule is Rule.AT_MOST:
            return min(found, self.value)
        if self.rule is Rule.HAS_BITS:
            return found | self.value
        if self.rule is Rule.LACKS_BITS:
            return found & ~self.value
        return self.value

    def __str__(self) -> str:
        """Return the wish in words."""
        return f"{self.rule.value}{self.value}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A register that is not as wanted.

    Attributes:
        joint: Name of the joint.
        servo: Its id.
        want: What was wanted.
        found: What was read.
    """

    joint: str
    servo: int
    want: Want
    found: int

    @property
    def mended(self) -> int:
        """The nearest number that is as wanted."""
        return self.want.mend(self.found)

    def __str__(self) -> str:
        """Return it for a person."""
        name = self.want.register.name
        return f"{self.joint} (id {self.servo}): {name} is {self.found}, wanted {self.want}"


_EVERY_JOINT = (
    Want(reg.RETURN_DELAY_TIME, 0),
    Want(reg.RESPONSE_STATUS_LEVEL, 1),
    Want(reg.MAX_TEMPERATURE_LIMIT, 70, Rule.AT_MOST),
    Want(reg.UNLOADING_CONDITION, int(_UNLOADING), Rule.HAS_BITS),
    Want(reg.P_COEFFICIENT, 16),
    Want(reg.D_COEFFICIENT, 32),
    Want(reg.I_COEFFICIENT, 0),
    Want(reg.ANGULAR_RESOLUTION, 1),
    Want(reg.PROTECTIVE_TORQUE, 20, Rule.AT_MOST),
    Want(reg.PROTECTION_TIME, 200, Rule.AT_MOST),
    Want(reg.OVER_CURRENT_PROTECTION_TIME, 200, Rule.AT_MOST),
)
_BODY = (
    Want(reg.MAX_TORQUE_LIMIT, 1000, Rule.AT_MOST),
    Want(reg.PROTECTION_CURRENT, 511, Rule.AT_MOST),
    Want(reg.OVERLOAD_TORQUE, 80, Rule.AT_MOST),
)
_GRIPPER = (
    Want(reg.MAX_TORQUE_LIMIT, 500, Rule.AT_MOST),
    Want(reg.PROTECTION_CURRENT, 250, Rule.AT_MOST),
    Want(reg.OVERLOAD_TORQUE, 25, Rule.AT_MOST),
)


def calibrated(joint: JointCalibration) -> tuple[Want, ...]:
    """Return what a servo has to remember of its calibration: numbers, and what they count."""
    return (
        Want(reg.HOMING_OFFSET, joint.homing_offset),
        Want(reg.MIN_POSITION_LIMIT, joint.range_min),
        Want(reg.MAX_POSITION_LIMIT, joint.range_max),
        Want(reg.OPERATING_MODE, POSITION_MODE),
        Want(reg.PHASE, MULTI_TURN, Rule.LACKS_BITS),
    )


def settings(joint: int) -> tuple[Want, ...]:
    """Return what the servo of a follower's joint has to remember besides."""
    return (*_EVERY_JOINT, *(_GRIPPER if joint == GRIPPER else _BODY))


def wanted_eeprom(calibration: Calibration) -> tuple[tuple[Want, ...], ...]:
    """Return what each servo of a follower has to remember, in the order of the joints."""
    return tuple(
        (*calibrated(joint), *settings(number)) for number, joint in enumerate(calibration.joints)
    )


def differences(
    joint: int, servo: int, wants: tuple[Want, ...], read: Callable[[Register], int]
) -> Iterator[Difference]:
    """Yield what a servo's memory does not have as wanted.

    Args:
        joint: Number of the joint.
        servo: Id of its servo.
        wants: What its registers have to say.
        read: Returns a register's number; what it raises is passed on.
    """
    for want in wants:
        found = read(want.register)
        if want.mend(found) != found:
            yield Difference(JOINTS[joint], servo, want, found)
