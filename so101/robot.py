"""The SO-101 as data: joint names, limits, poses, cameras and LeRobot's units.

Everything that names a joint or a limit reads it from here, and this file reads it from
``so101_description``. The URDF uses the same files; a test holds the MJCF against them.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from so101.arrays import BoolArray, FloatArray, frozen
from so101.config import from_mapping, load_yaml
from so101.errors import ConfigError

JOINTS = (
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
)
CAMERAS = ("wrist", "front")
GRIPPER = JOINTS.index("gripper")
BASE_FRAME = "base_link"
TOOL_FRAME = "gripper_frame_link"


@dataclass(frozen=True, kw_only=True)
class RobotSpec:
    """Limits and poses of the arm; arrays follow the order of ``joints``.

    Attributes:
        joints: Joint names, LeRobot's motor names.
        lower: Smallest position [rad]. Shape (joints,).
        upper: Largest position [rad]. Shape (joints,).
        max_velocity: [rad/s]. Shape (joints,).
        max_acceleration: [rad/s²]. Shape (joints,).
        max_jerk: [rad/s³]. Shape (joints,).
        max_effort: [N·m]. Shape (joints,).
        poses: Named poses [rad], each of shape (joints,).
    """

    joints: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    max_velocity: FloatArray
    max_acceleration: FloatArray
    max_jerk: FloatArray
    max_effort: FloatArray
    poses: dict[str, FloatArray]

    @property
    def home(self) -> FloatArray:
        """The pose every episode starts from and returns to [rad]. Shape (joints,)."""
        return self.poses["home"]


@dataclass(frozen=True, kw_only=True)
class _JointLimits:
    min_position: float
    max_position: float
    max_velocity: float
    max_acceleration: float
    max_jerk: float
    max_effort: float


@dataclass(frozen=True, kw_only=True)
class _LimitsFile:
    joint_limits: dict[str, _JointLimits]


@dataclass(frozen=True, kw_only=True)
class _PosesFile:
    poses: dict[str, tuple[float, ...]]


def description_path(*parts: str) -> Path:
    """Return the path of a file in ``so101_description``."""
    return Path(str(files("so101_description"))).joinpath(*parts)


def load_robot(limits_file: Path | None = None, poses_file: Path | None = None) -> RobotSpec:
    """Read the robot's limits and poses.

    Raises:
        ConfigError: A joint is missing or unknown, a limit is not positive, or a pose is outside
            its limits.
    """
    limits_file = limits_file or description_path("joint_limits.yaml")
    poses_file = poses_file or description_path("poses.yaml")
    limits = from_mapping(_LimitsFile, load_yaml(limits_file), str(limits_file)).joint_limits
    if set(limits) != set(JOINTS):
        wrong = ", ".join(sorted(set(limits) ^ set(JOINTS)))
        raise ConfigError(f"{limits_file}: missing or unknown joints: {wrong}")

    def column(name: str) -> FloatArray:
        return frozen([getattr(limits[joint], name) for joint in JOINTS])

    lower, upper = column("min_position"), column("max_position")
    _check_joints(lower < upper, f"{limits_file}: min_position must be below max_position")
    for name in ("max_velocity", "max_acceleration", "max_jerk", "max_effort"):
        _check_joints(column(name) > 0, f"{limits_file}: {name} must be positive")
    poses = {}
    for name, values in from_mapping(
        _PosesFile, load_yaml(poses_file), str(poses_file)
    ).poses.items():
        pose = frozen(values)
        if pose.shape != lower.shape or not ((pose >= lower) & (pose <= upper)).all():
            raise ConfigError(f"{poses_file}: pose {name!r} is not {len(JOINTS)} values in range")
        poses[name] = pose
    if "home" not in poses:
        raise ConfigError(f"{poses_file}: missing pose 'home'")
    return RobotSpec(
        joints=JOINTS,
        lower=lower,
        upper=upper,
        max_velocity=column("max_velocity"),
        max_acceleration=column("max_acceleration"),
        max_jerk=column("max_jerk"),
        max_effort=column("max_effort"),
        poses=poses,
    )


def _check_joints(is_good: BoolArray, rule: str) -> None:
    if not is_good.all():
        bad = (joint for joint, good in zip(JOINTS, is_good, strict=True) if not good)
        raise ConfigError(f"{rule}: {', '.join(bad)}")


@cache
def so101() -> RobotSpec:
    """Return the shipped SO-101."""
    return load_robot()


def to_lerobot(positions: FloatArray) -> FloatArray:
    """Convert positions to LeRobot's units: degrees, gripper 0 (closed) to 100 (open).

    Args:
        positions: [rad]. Shape (..., joints).
    """
    spec = so101()
    values = np.degrees(positions)
    low, high = spec.lower[GRIPPER], spec.upper[GRIPPER]
    values[..., GRIPPER] = (np.asarray(positions)[..., GRIPPER] - low) / (high - low) * 100.0
    return values


def from_lerobot(values: FloatArray) -> FloatArray:
    """Convert LeRobot's degrees and gripper percentage to rad, the inverse of `to_lerobot`."""
    spec = so101()
    positions = np.radians(values)
    low, high = spec.lower[GRIPPER], spec.upper[GRIPPER]
    positions[..., GRIPPER] = low + np.asarray(values)[..., GRIPPER] / 100.0 * (high - low)
    return positions
