"""Before the arm may move: are its servos there, are they the right ones, are they set as wanted?

Nothing here moves or lets go of anything. What the servos remember (EEPROM, which wears) is only
written when it differs and a person asked for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from so101.errors import HardwareError
from so101.robot import JOINTS
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.calibration import Calibration
from so101.servos.registers import MODEL_NUMBER_STS3215, pick, span
from so101.servos.servo_ids import is_garbled
from so101.servos.wanted import Difference, differences, wanted_eeprom

_ADDRESS, _SIZE = span(reg.FIRMWARE_MAJOR, reg.VELOCITY_I_COEFFICIENT)
_MOST_LINES = 6


@dataclass(frozen=True, kw_only=True)
class Booted:
    """What was found.

    Attributes:
        firmware: Version of each servo, as ``3.10``.
        is_torque_on: Whether each servo holds its position already.
        mended: Registers that were written, in words.
    """

    firmware: tuple[str, ...]
    is_torque_on: tuple[bool, ...]
    mended: tuple[str, ...]


def boot(bus: ServoBus, calibration: Calibration, *, write_eeprom: bool) -> Booted:
    """Find the servos and compare them with what is wanted.

    Args:
        bus: An open bus.
        calibration: Which servos, and what they have to remember.
        write_eeprom: Put right what differs, instead of refusing.

    Raises:
        HardwareError: A servo is missing, doubled or another model, or is not set as wanted.
    """
    find(bus, calibration.ids)
    found = compare(bus, calibration)
    torque = tuple(bool(bus.read(servo, reg.TORQUE_ENABLE)) for servo in calibration.ids)
    if found and write_eeprom:
        with bus.patient():
            _mend(bus, found, torque)
            left = compare(bus, calibration)
        if left:
            raise HardwareError(f"written, and still: {_listed(left)}")
    elif found:
        raise HardwareError(
            f"{_listed(found)}. Is it this arm's calibration? Then start once with "
            "--write-eeprom (write_eeprom:=true in ROS), the arm lying down and its torque off"
        )
    firmware = tuple(
        f"{bus.read(servo, reg.FIRMWARE_MAJOR)}.{bus.read(servo, reg.FIRMWARE_MINOR)}"
        for servo in calibration.ids
    )
    return Booted(firmware=firmware, is_torque_on=torque, mended=tuple(map(str, found)))


def find(bus: ServoBus, servos: Sequence[int]) -> None:
    """Make sure that each servo is there, once, and the right model.

    Raises:
        HardwareError: It says which are not, and which ids answer instead.
    """
    answering = bus.scan()
    doubled = {servo for servo in answering if answering.count(servo) > 1}
    doubled |= {servo for servo in servos if is_garbled(bus, servo)}
    if doubled:
        raise HardwareError(
            f"{bus.name}: id {_ids(sorted(doubled))} answers what cannot be read: two servos have "
            "this id, or a cable is bad"
        )
    for joint, servo in zip(JOINTS, servos, strict=True):
        try:
            model = bus.read(servo, reg.MODEL_NUMBER)
        except HardwareError:
            raise HardwareError(
                f"{bus.name}: {joint}: no servo has the id {servo}; there are: "
                f"{_ids(answering) or 'none at all (is the supply on?)'}"
            ) from None
        if model != MODEL_NUMBER_STS3215:
            raise HardwareError(
                f"{bus.name}: {joint} (id {servo}) is model {model}, expected an STS3215 "
                f"({MODEL_NUMBER_STS3215})"
            )


def compare(bus: ServoBus, calibration: Calibration) -> tuple[Difference, ...]:
    """Return every register of the EEPROM that is not as wanted.

    Raises:
        HardwareError: A servo does not answer.
    """
    found: list[Difference] = []
    wanted = wanted_eeprom(calibration)
    for joint, servo in enumerate(calibration.ids):
        memory = bus.read_block(servo, _ADDRESS, _SIZE).parameters
        found += differences(joint, servo, wanted[joint], partial(pick, memory, _ADDRESS))
        if pick(memory, _ADDRESS, reg.ID) != servo:
            raise HardwareError(
                f"{bus.name}: {JOINTS[joint]}: servo {servo} says it is another one"
            )
    return tuple(found)


def _mend(bus: ServoBus, found: Sequence[Difference], torque: Sequence[bool]) -> None:
    if any(torque):
        held = ", ".join(joint for joint, is_on in zip(JOINTS, torque, strict=True) if is_on)
        raise HardwareError(
            f"{bus.name}: {held} hold their position: lay the arm down and switch its torque off "
            "(arm/torque, or the supply) before write_eeprom"
        )
    for servo in dict.fromkeys(difference.servo for difference in found):
        bus.write(servo, reg.LOCK, 0)
        try:
            for difference in found:
                if difference.servo == servo:
                    bus.write(servo, difference.want.register, difference.mended)
        finally:
            bus.write(servo, reg.LOCK, 1)


def _listed(found: Sequence[Difference]) -> str:
    words = "; ".join(map(str, found[:_MOST_LINES]))
    more = len(found) - _MOST_LINES
    return f"{words}; and {more} more" if more > 0 else words


def _ids(servos: Sequence[int]) -> str:
    return ", ".join(map(str, servos))
