"""What servos remember of a calibration: read, compared, and written all or not at all.

A servo keeps its memory without power and wears it out by writing: only what differs is written.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from so101.arrays import IntArray
from so101.errors import HardwareError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.servos.calibration import LAST_TICK, Calibration
from so101.servos.registers import Register
from so101.servos.wanted import Difference, Want, calibrated, differences

_OPEN, _LOCKED = 0, 1


class Servos(Protocol):
    """Reads and writes one register of one servo, such as `so101.servos.bus.ServoBus`."""

    def read(self, servo: int, register: Register) -> int:
        """Return a register's number; raises HardwareError."""
        ...

    def write(self, servo: int, register: Register, value: int) -> None:
        """Write a register and wait for the confirmation; raises HardwareError."""
        ...


def check_models(servos: Servos, ids: Sequence[int]) -> None:
    """See that every joint has its servo.

    Raises:
        HardwareError: A servo is silent or of another model; the message names its joint.
    """
    for joint, servo in zip(JOINTS, ids, strict=True):
        try:
            model = servos.read(servo, reg.MODEL_NUMBER)
        except HardwareError as error:
            raise HardwareError(f"{joint}: {error}; look at power, cable and id") from error
        if model != reg.MODEL_NUMBER_STS3215:
            raise HardwareError(
                f"{joint}: servo {servo} is of model {model}, not an STS3215 "
                f"({reg.MODEL_NUMBER_STS3215})"
            )


class Encoders:
    """Reads the encoders without their offsets, which nobody else may change meanwhile."""

    def __init__(self, servos: Servos, ids: Sequence[int]) -> None:
        """Read the offsets that the servos subtract.

        Raises:
            HardwareError: A servo does not answer.
        """
        self._servos, self._ids = servos, tuple(ids)
        self._offsets = [servos.read(servo, reg.HOMING_OFFSET) for servo in self._ids]

    def read(self) -> IntArray:
        """Return what the encoders say, 0 to 4095. Shape (joints,).

        Raises:
            HardwareError: A servo does not answer.
        """
        found = [self._servos.read(servo, reg.PRESENT_POSITION) for servo in self._ids]
        turned = [a + b for a, b in zip(found, self._offsets, strict=True)]
        return np.array(turned, dtype=np.int64) % (LAST_TICK + 1)


def compare(
    servos: Servos, ids: Sequence[int], wanted: Sequence[tuple[Want, ...]]
) -> tuple[Difference, ...]:
    """Return every register that is not as wanted.

    Args:
        servos: On the bus.
        ids: One per joint.
        wanted: What each of them has to remember, such as `calibrated` says.

    Raises:
        HardwareError: A servo does not answer.
    """
    found: list[Difference] = []
    for joint, (servo, wants) in enumerate(zip(ids, wanted, strict=True)):
        found += differences(joint, servo, wants, partial(servos.read, servo))
    return tuple(found)


def store(
    servos: Servos, calibration: Calibration, keep: Callable[[], None]
) -> tuple[Difference, ...]:
    """Write to the servos what differs, then keep the calibration; undo all if any of it fails.

    Torque is off. A servo that was written is locked afterwards.

    Args:
        servos: They answer.
        calibration: What they have to remember.
        keep: Writes the file.

    Returns:
        What was changed.

    Raises:
        HardwareError: A servo does not take it. It says so when undoing failed as well.
    """
    changes = compare(servos, calibration.ids, [calibrated(one) for one in calibration.joints])
    ids = sorted({change.servo for change in changes})
    locks = {servo: servos.read(servo, reg.LOCK) for servo in ids}
    tried: list[Difference] = []
    try:
        for servo in ids:
            servos.write(servo, reg.LOCK, _OPEN)
            for change in changes:
                if change.servo == servo:
                    tried.append(change)
                    _write(servos, change, change.mended)
            servos.write(servo, reg.LOCK, _LOCKED)
        keep()
    except BaseException:
        _undo(servos, tried, locks)
        raise
    return changes


def _write(servos: Servos, change: Difference, value: int) -> None:
    register = change.want.register
    servos.write(change.servo, register, value)
    found = servos.read(change.servo, register)
    if found != value:
        raise HardwareError(
            f"{change.joint} (id {change.servo}): {register.name} was written {value} and reads "
            f"{found}"
        )


def _undo(servos: Servos, tried: Sequence[Difference], locks: Mapping[int, int]) -> None:
    """Write back what was there, as far as servos answer."""
    left = []
    for change in reversed(tried):
        try:
            servos.write(change.servo, reg.LOCK, _OPEN)
            _write(servos, change, change.found)
        except HardwareError:
            left.append(f"{change.joint} (id {change.servo}) {change.want.register.name}")
    for servo, lock in locks.items():
        try:
            servos.write(servo, reg.LOCK, lock)
        except HardwareError:
            left.append(f"lock of servo {servo}")
    if left:
        raise HardwareError(
            f"the calibration failed, and so did undoing it: {', '.join(left)}; calibrate again"
        )
