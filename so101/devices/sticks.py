"""Sticks and buttons of a gamepad at one moment, whatever they were read from."""

import math
from dataclasses import asdict, dataclass

from so101.errors import HardwareError

MOST = 64
"""More axes or buttons than any pad has."""


@dataclass(frozen=True, kw_only=True)
class Sticks:
    """One reading.

    Attributes:
        axes: Each from -1 to 1, signed as ROS's ``joy_node`` has it: up and left are positive,
            a trigger is 1 at rest and -1 when pressed.
        buttons: Whether each is pressed.
    """

    axes: tuple[float, ...] = ()
    buttons: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no pad reports.

        Raises:
            HardwareError: An axis is not a number, or outside -1..1, or there are too many.
        """
        if max(len(self.axes), len(self.buttons)) > MOST:
            count = f"{len(self.axes)} axes and {len(self.buttons)} buttons"
            raise HardwareError(f"gamepad: {count}; at most {MOST} are read")
        for index, value in enumerate(self.axes):
            if not math.isfinite(value) or abs(value) > 1.0:
                raise HardwareError(f"gamepad: axis {index} is {value}, not within -1..1")


@dataclass(frozen=True, kw_only=True)
class HandWish:
    """Where a person wants the tool to go, as shares of the largest speeds, each from -1 to 1.

    Attributes:
        x: Away from the base.
        y: To the left.
        z: Up.
        pitch: Fingertips up.
        roll: Turn about the fingers.
        gripper: Open.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    gripper: float = 0.0

    def scaled(self, share: float) -> "HandWish":
        """Return the same at a share of its speeds, from 0 to 1."""
        return HandWish(**{part: share * value for part, value in asdict(self).items()})

    @property
    def is_still(self) -> bool:
        """Whether nothing is to move."""
        return not any((self.x, self.y, self.z, self.pitch, self.roll, self.gripper))
