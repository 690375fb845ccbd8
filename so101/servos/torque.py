"""Lets an arm go so that a person can move it, and holds it again where the person left it."""

from collections.abc import Sequence

from so101.servos import registers as reg
from so101.servos.calibration_store import Servos


def holding(servos: Servos, ids: Sequence[int]) -> tuple[int, ...]:
    """Return the servos that hold their joints now.

    Raises:
        HardwareError: A servo does not answer.
    """
    return tuple(servo for servo in ids if servos.read(servo, reg.TORQUE_ENABLE))


def release(servos: Servos, ids: Sequence[int]) -> None:
    """Let go; nothing holds these joints against gravity any more.

    Raises:
        HardwareError: A servo does not answer.
    """
    for servo in ids:
        servos.write(servo, reg.TORQUE_ENABLE, 0)


def hold(servos: Servos, ids: Sequence[int]) -> tuple[int, ...]:
    """Hold joints where they are now, without a motion.

    Returns:
        Servos that are left alone: they stand outside their limits and would move.

    Raises:
        HardwareError: A servo does not answer.
    """
    # A reply to a request that Ctrl-C broke off may still come, and is as long as a position: what
    # is asked first has a shorter one, and is answered after it.
    holding(servos, ids)
    left = []
    for servo in ids:
        position = servos.read(servo, reg.PRESENT_POSITION)
        low = servos.read(servo, reg.MIN_POSITION_LIMIT)
        if low <= position <= servos.read(servo, reg.MAX_POSITION_LIMIT):
            servos.write(servo, reg.GOAL_POSITION, position)
            servos.write(servo, reg.TORQUE_ENABLE, 1)
        else:
            left.append(servo)
    return tuple(left)
