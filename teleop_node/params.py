"""Parameters of the teleop node."""

from dataclasses import dataclass, field

from so101.config import option
from so101.devices.pad_layout import PAD_LAYOUTS

DEVICES = ("scripted", "leader", "gamepad", "joy", "keyboard")


@dataclass(frozen=True, kw_only=True)
class PadParams:
    """The gamepad, whatever it is read from."""

    path: str = option("/dev/input/js0", "device file of `gamepad`; by-id names are stable")
    layout: str = option(
        "xbox", "which stick means what; `keyboard` has its own", choices=tuple(PAD_LAYOUTS)
    )
    changes: tuple[str, ...] = option(
        (), "changes to the layout, such as `dead_man = button 5` or `z = - axis 3`"
    )
    silence: float = option(
        0.12, "`joy` and `keyboard`: silent this long is lost [s]", range=(0.06, 0.13)
    )
    linear_speed: float = option(
        0.08, "largest speed of the tool along each axis [m/s]", range=(0.01, 0.25)
    )
    angular_speed: float = option(0.8, "of pitch and roll [rad/s]", range=(0.1, 2.0))
    gripper_speed: float = option(1.2, "of the jaw [rad/s]", range=(0.1, 3.0))


@dataclass(frozen=True, kw_only=True)
class LeaderParams:
    """The leader arm."""

    port: str = option("", "serial port of the leader; by-id names are stable")
    calibration: str = option("", "calibration file of the leader, in LeRobot's format")
    torque_limit: int = option(
        300, "with which it is driven and held [0.1 % of stall torque]", range=(100, 500)
    )
    is_driven: bool = option(
        True, "drive it to the follower's pose before a takeover; else wait until it is near"
    )
    drive_speed: float = option(0.5, "of its joints on the way [rad/s]", range=(0.1, 1.5))
    near: float = option(
        0.05, "within this of the follower it is aligned [rad]", range=(0.01, 0.1)
    )
    push: float = option(
        0.08, "a person moves it this far to have it let go [rad]", range=(0.06, 0.3)
    )
    follow_speed: float = option(
        2.5, "largest speed of the follower's joints [rad/s]", range=(0.2, 3.0)
    )


@dataclass(frozen=True, kw_only=True)
class TeleopParams:
    """Who teleoperates, and how."""

    device: str = option("scripted", "who teleoperates", choices=DEVICES)
    task: str = option("pick", "name of the task")
    is_imperfect: bool = option(
        True, "the script hesitates, misjudges and varies its speed, as a person does"
    )
    decision_ticks: int = option(8, "policy ticks from one chunk to the next", range=(1, 30))
    lockstep: bool = option(True, "wait for samples of the very tick; true in simulation")
    pad: PadParams = field(default_factory=PadParams)
    leader: LeaderParams = field(default_factory=LeaderParams)
