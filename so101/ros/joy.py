"""Sticks and buttons to ``sensor_msgs/Joy`` and back, an inverse pair at float32's precision."""

from array import array

from sensor_msgs.msg import Joy

from so101.devices.sticks import Sticks
from so101.ros.convert import to_header

_ROUNDING = 1e-5


def to_joy(stamp_ns: int, sticks: Sticks) -> Joy:
    """Return sticks and buttons as a message."""
    return Joy(
        header=to_header(stamp_ns),
        axes=array("f", sticks.axes),
        buttons=array("i", [int(button) for button in sticks.buttons]),
    )


def from_joy(message: Joy) -> Sticks:
    """Read sticks and buttons. An axis that is beyond its end by a rounding is at its end.

    Raises:
        HardwareError: An axis is not a number, or outside -1..1, or there are too many.
    """
    axes = [
        max(-1.0, min(1.0, axis)) if abs(axis) <= 1.0 + _ROUNDING else axis
        for axis in map(float, message.axes)
    ]
    return Sticks(axes=tuple(axes), buttons=tuple(button != 0 for button in message.buttons))
