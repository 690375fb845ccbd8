"""Gives a servo its id, and tells whether two have the same one. Every servo is shipped as id 1.

Two of one id answer at once and spoil each other's replies, so ids are given with one servo on
the bus at a time.
"""

from contextlib import suppress

from so101.errors import HardwareError
from so101.servos import registers as reg
from so101.servos.bus import ServoBus
from so101.servos.packets import MAX_ID
from so101.servos.registers import MODEL_NUMBER_STS3215, span

_UNLIKE, _UNLIKE_SIZE = span(reg.HOMING_OFFSET, reg.PRESENT_VELOCITY)
_LOOKS = 4
_OPEN, _LOCKED = 0, 1


def is_garbled(bus: ServoBus, servo: int) -> bool:
    """Tell whether somebody answers to an id, and never readably.

    Two servos of one id speak at once. What is asked for differs between any two: offsets and
    positions, so that they spoil each other's reply.
    """
    garbled = 0
    for _ in range(_LOOKS):
        noise = bus.counts.noise
        if bus.try_read(servo, _UNLIKE, _UNLIKE_SIZE) is not None:
            return False
        garbled += bus.counts.noise > noise
    return garbled >= _LOOKS - 1


def only_servo(bus: ServoBus) -> int:
    """Return the id of the one servo that is on the bus.

    Raises:
        HardwareError: There is none, there are several, or it is another model.
    """
    noise = bus.counts.noise
    answering = bus.scan()
    if len(answering) > 1:
        ids = ", ".join(map(str, answering))
        raise HardwareError(
            f"{len(answering)} servos answer (ids {ids}): leave only one plugged in"
        )
    servo = answering[0] if answering else reg.ID.default
    if is_garbled(bus, servo) or bus.counts.noise > noise:
        raise HardwareError(
            "several servos answer at once, or a cable is bad: leave only one plugged in"
        )
    if not answering:
        raise HardwareError("no servo answers: look at its cable, and at the power supply")
    model = bus.read(servo, reg.MODEL_NUMBER)
    if model != MODEL_NUMBER_STS3215:
        raise HardwareError(
            f"the servo (id {servo}) is of model {model}, not an STS3215 ({MODEL_NUMBER_STS3215})"
        )
    return servo


def give_id(bus: ServoBus, servo: int, wanted: int) -> None:
    """Make a servo remember another id, also without power, and read it back.

    Args:
        bus: With this servo alone on it, see `only_servo`.
        servo: Its id until now.
        wanted: Its id from now on.

    Raises:
        HardwareError: The id cannot be one, or the servo does not answer to it afterwards.
    """
    if not 0 <= wanted <= MAX_ID:
        raise HardwareError(f"id {wanted}: expected 0 to {MAX_ID}")
    bus.write(servo, reg.LOCK, _OPEN)
    with suppress(HardwareError):  # the confirmation may come from the old id or from the new one
        bus.write(servo, reg.ID, wanted)
    _lock(bus, wanted, servo)
    found = bus.read(wanted, reg.ID)
    if found != wanted or bus.read(wanted, reg.LOCK) != _LOCKED:
        raise HardwareError(f"id {wanted} was written, and id {found} was read; try again")


def _lock(bus: ServoBus, wanted: int, before: int) -> None:
    """Lock the memory again, by whichever id the servo has now.

    Raises:
        HardwareError: It does not answer to the new id; it may still have the old one.
    """
    try:
        bus.write(wanted, reg.LOCK, _LOCKED)
    except HardwareError as error:
        with suppress(HardwareError):
            bus.write(before, reg.LOCK, _LOCKED)
        raise HardwareError(
            f"the servo does not answer to its new id {wanted}: {error}; try again"
        ) from error
