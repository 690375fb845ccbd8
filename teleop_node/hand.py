"""What a person holds: opened, watched, and opened again when it comes back.

The device is named once; it may be plugged in later. Its loss is told at once, in words that end
up in the episode: see `Hand.word`.
"""

from collections.abc import Callable
from pathlib import Path

from so101.clock import NS_PER_S, nanoseconds
from so101.control.trajectory import JointTrajectory
from so101.devices.joystick import Joystick
from so101.devices.leader_arm import LeaderArm
from so101.devices.pad_layout import PadReader, layout_of
from so101.devices.sticks import Sticks
from so101.errors import ConfigError, HardwareError
from so101.kinematics.tool_motion import ToolMotion, ToolSpeeds
from so101.robot import RobotSpec
from so101.servos.bus import ServoBus
from so101.servos.calibration import read_calibration
from so101.servos.leader_servos import ServoLeader
from so101.servos.port import SerialPort
from teleop_node.guide import ArmNow, Guide
from teleop_node.leader_guide import LeaderGuide, LeaderRules
from teleop_node.pad_guide import PadGuide
from teleop_node.params import TeleopParams

RETRY_NS = NS_PER_S // 2
"""A lost gamepad is looked for this often [ns]."""


class Hand:
    """A device and its guide."""

    def __init__(self, guide: Guide, path: Path | None = None) -> None:
        """Take a guide.

        Args:
            guide: A `PadGuide` where there is a path.
            path: Gamepad that is read here; None where somebody else brings the readings.
        """
        self.guide = guide
        self._path = path
        self._joystick: Joystick | None = None
        self._tried_ns: int | None = None

    @property
    def word(self) -> str:
        """Why the device cannot be used, or empty."""
        return self.guide.problem

    def look(self, now_ns: int) -> None:
        """Read the gamepad, or look for it; notice that it fell silent.

        Args:
            now_ns: Now, on this process's clock [ns].
        """
        if not isinstance(self.guide, PadGuide):
            return
        if self._path is not None:
            self._look_at(self._path, self.guide, now_ns)
        self.guide.check(now_ns)

    def on_sticks(self, sticks: Sticks, now_ns: int) -> None:
        """Take a reading that somebody else made."""
        if isinstance(self.guide, PadGuide):
            self.guide.on_sticks(sticks, now_ns)

    def step(self, now: ArmNow) -> JointTrajectory | None:
        """Return what the arm is to do at a tick, or None."""
        self.look(now.now_ns)
        return self.guide.step(now)

    def close(self) -> None:
        """Close the device; a leader is let go."""
        if isinstance(self.guide, LeaderGuide):
            self.guide.close()
        if self._joystick is not None:
            self._joystick.close()
            self._joystick = None

    def _look_at(self, path: Path, guide: PadGuide, now_ns: int) -> None:
        if self._joystick is None and self._is_pause(now_ns):
            return
        try:
            if self._joystick is None:
                self._tried_ns = now_ns
                self._joystick = Joystick(path)
            for sticks in self._joystick.look():
                guide.on_sticks(sticks, now_ns)
        except HardwareError as error:
            self.close()
            guide.lose(str(error))

    def _is_pause(self, now_ns: int) -> bool:
        return self._tried_ns is not None and now_ns - self._tried_ns < RETRY_NS


def make_hand(
    params: TeleopParams,
    spec: RobotSpec,
    make_leader: Callable[[TeleopParams], LeaderArm],
) -> Hand:
    """Return the hand of a device.

    Args:
        params: Of the node; its device is not the script.
        spec: The follower.
        make_leader: Makes the leader arm.

    Raises:
        ConfigError: The layout is not understood, or there is no such leader.
    """
    if params.device == "leader":
        return Hand(LeaderGuide(make_leader(params), spec, _leader_rules(params)))
    pad = params.pad
    name = "keyboard" if params.device == "keyboard" else pad.layout
    speeds = ToolSpeeds(
        linear=pad.linear_speed, angular=pad.angular_speed, gripper=pad.gripper_speed
    )
    is_read_here = params.device == "gamepad"
    guide = PadGuide(
        PadReader(layout_of(name, pad.changes)),
        ToolMotion(speeds, robot=spec),
        spec,
        silence_ns=None if is_read_here else nanoseconds(pad.silence),
    )
    return Hand(guide, Path(pad.path) if is_read_here else None)


def _leader_rules(params: TeleopParams) -> LeaderRules:
    leader = params.leader
    return LeaderRules(
        is_driven=leader.is_driven,
        drive_speed=leader.drive_speed,
        near=leader.near,
        push=leader.push,
        follow_speed=leader.follow_speed,
    )


def open_leader(params: TeleopParams) -> LeaderArm:
    """Return the leader arm; its port is opened by the first reading, and again when it is lost.

    Raises:
        ConfigError: No port or calibration is named, or the calibration cannot be used.
    """
    leader = params.leader
    for name in ("port", "calibration"):
        if not getattr(leader, name):
            raise ConfigError(f"leader.{name}: empty; a leader arm needs its port and calibration")
    return ServoLeader(
        lambda: ServoBus(SerialPort(leader.port)),
        read_calibration(Path(leader.calibration)),
        torque_limit=leader.torque_limit,
    )
