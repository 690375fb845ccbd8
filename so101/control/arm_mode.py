"""The modes of the arm loop and the moves between them: one table, no flags."""

from enum import Enum

from so101.errors import BagError, MotionError


class ArmMode(str, Enum):
    """What the arm loop does; the message of the ``arm/state`` topic."""

    DISARMED = "disarmed"
    """Holds still and ignores trajectories, until somebody arms it."""

    ARMED = "armed"
    """Follows a trajectory."""

    HOLDING = "holding"
    """Armed, but there is nothing to follow: comes to rest and holds."""

    ESTOPPED = "estopped"
    """Came to rest on request and stays so until `recover`."""

    FAULT = "fault"
    """The arm does not answer; nothing is sent until `recover`."""


class ArmRequest(str, Enum):
    """What can be asked of the arm loop, or happen to it."""

    ARM = "arm"
    FOLLOW = "follow"
    HOLD = "hold"
    DISARM = "disarm"
    ESTOP = "estop"
    FAULT = "fault"
    RECOVER = "recover"


_D, _A, _H, _E, _F = ArmMode

NEXT_MODE: dict[ArmRequest, dict[ArmMode, ArmMode]] = {
    ArmRequest.ARM: {_D: _H, _A: _A, _H: _H},
    ArmRequest.FOLLOW: {_A: _A, _H: _A},
    ArmRequest.HOLD: {_D: _D, _A: _H, _H: _H, _E: _E, _F: _F},
    ArmRequest.DISARM: {_D: _D, _A: _D, _H: _D, _E: _E, _F: _F},
    ArmRequest.ESTOP: {_D: _E, _A: _E, _H: _E, _E: _E, _F: _F},
    ArmRequest.FAULT: {_D: _F, _A: _F, _H: _F, _E: _F, _F: _F},
    ArmRequest.RECOVER: {_D: _D, _E: _D, _F: _D},
}
"""The mode after a request; a request with no entry for the present mode is refused."""


def mode_named(name: str) -> ArmMode:
    """Return the mode that a message on ``arm/state`` says.

    Raises:
        BagError: There is no such mode.
    """
    try:
        return ArmMode(name)
    except ValueError:
        allowed = ", ".join(mode.value for mode in ArmMode)
        raise BagError(f"arm mode {name[:60]!r} is not one of {allowed}") from None


def next_mode(mode: ArmMode, request: ArmRequest) -> ArmMode:
    """Return the mode after a request.

    Raises:
        MotionError: The request is refused in this mode.
    """
    after = NEXT_MODE[request].get(mode)
    if after is None:
        hint = "; recover it first" if mode in (ArmMode.ESTOPPED, ArmMode.FAULT) else ""
        raise MotionError(f"arm: cannot {request.value} while {mode.value}{hint}")
    return after
