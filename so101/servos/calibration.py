"""An arm's calibration in LeRobot's format: which servo, which of its ticks, is which angle.

LeRobot's file has one entry per joint: ``id``, ``drive_mode``, ``homing_offset``, ``range_min``
and ``range_max``. The servo itself subtracts the offset, so that the ticks here are those of its
position register. Reads and converts; asks no servo and writes no file.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from so101.arrays import FloatArray, IntArray, frozen
from so101.errors import ConfigError, HardwareError
from so101.robot import GRIPPER, JOINTS, so101

LAST_TICK = 4095
"""Ticks of one turn go from 0 to this."""
RAD_PER_TICK = 2.0 * math.pi / LAST_TICK
"""As LeRobot counts: 4095 to the turn, so that its degrees are ours. The encoder has 4096."""
MIDDLE_TICK = 2047
"""Where LeRobot puts the pose in which each joint is in its middle."""
LARGEST_OFFSET = 2047
LARGEST_ID = 253
FULL_TURN_JOINT = "wrist_roll"
"""It has no stops; its range is the whole turn, never swept."""
_WRAP_MARGIN = 16
_MAX_BYTES = 100_000


@dataclass(frozen=True, kw_only=True)
class JointCalibration:
    """One joint of LeRobot's file.

    Attributes:
        id: The servo on the bus.
        drive_mode: 0; LeRobot never writes another for this arm.
        homing_offset: What the servo subtracts from what its encoder says [ticks].
        range_min: Smallest position of the joint's way [ticks].
        range_max: Largest [ticks].
    """

    id: int
    drive_mode: int = 0
    homing_offset: int
    range_min: int
    range_max: int


@dataclass(frozen=True)
class Calibration:
    """All joints of an arm, in our order. Arrays have shape (joints,).

    Attributes:
        joints: One per name in `JOINTS`.
        where: The file, for messages.
    """

    joints: tuple[JointCalibration, ...]
    where: str = "calibration"

    def __post_init__(self) -> None:
        """Check what no single joint can show.

        Raises:
            ConfigError: A joint is missing or impossible, or two have the same servo.
        """
        if len(self.joints) != len(JOINTS):
            raise ConfigError(f"{self.where}: {len(self.joints)} joints: expected {len(JOINTS)}")
        for name, joint in zip(JOINTS, self.joints, strict=True):
            _check_joint(name, joint, f"{self.where}: {name}")
        for at, name in enumerate(JOINTS):
            for before in range(at):
                if self.joints[before].id == self.joints[at].id:
                    raise ConfigError(
                        f"{self.where}: {name}: id {self.joints[at].id} is that of "
                        f"{JOINTS[before]}; each joint has its own"
                    )

    @property
    def ids(self) -> tuple[int, ...]:
        """The servos on the bus."""
        return tuple(joint.id for joint in self.joints)

    @cached_property
    def range_min(self) -> FloatArray:
        """Smallest positions [ticks]."""
        return frozen([joint.range_min for joint in self.joints])

    @cached_property
    def range_max(self) -> FloatArray:
        """Largest positions [ticks]."""
        return frozen([joint.range_max for joint in self.joints])

    @cached_property
    def rad_per_tick(self) -> FloatArray:
        """What one tick turns [rad]; also converts speeds."""
        scale = np.full(len(JOINTS), RAD_PER_TICK)
        spec, gripper = so101(), self.joints[GRIPPER]
        way = spec.upper[GRIPPER] - spec.lower[GRIPPER]
        scale[GRIPPER] = way / (gripper.range_max - gripper.range_min)
        return frozen(scale)

    @cached_property
    def lower(self) -> FloatArray:
        """Smallest positions [rad]; the URDF's may be smaller or larger."""
        return frozen(self.to_rad(self.range_min))

    @cached_property
    def upper(self) -> FloatArray:
        """Largest positions [rad]; the URDF's may be smaller or larger."""
        return frozen(self.to_rad(self.range_max))

    @cached_property
    def half_range(self) -> FloatArray:
        """Half of each joint's way, as LeRobot's -100..100 count it [rad]."""
        return frozen((self.range_max - self.range_min) / 2.0 * RAD_PER_TICK)

    def to_rad(self, ticks: FloatArray | IntArray) -> FloatArray:
        """Convert servo positions to joint positions.

        A body joint's zero is the middle of its range. The gripper's range is the URDF's, however
        many ticks it has.

        Args:
            ticks: [ticks]. Shape (..., joints).
        """
        return (
            self._zero_rad
            + (np.asarray(ticks, dtype=np.float64) - self._zero_ticks) * self.rad_per_tick
        )

    def to_ticks(self, positions: FloatArray) -> IntArray:
        """Convert joint positions to the nearest servo positions, the inverse of `to_rad`.

        Args:
            positions: [rad], from whom has seen to the limits. Shape (..., joints).

        Raises:
            HardwareError: A position is not finite or beyond the servo's turn.
        """
        turned = (np.asarray(positions) - self._zero_rad) / self.rad_per_tick
        ticks = np.rint(turned + self._zero_ticks)
        is_good = (ticks >= 0) & (ticks <= LAST_TICK)  # not, for what is not finite
        if not is_good.all():
            joint = JOINTS[int(np.argwhere(~is_good)[0, -1])]
            raise HardwareError(
                f"{joint}: no position of its servo: {np.asarray(positions).tolist()} rad"
            )
        return ticks.astype(np.int64)

    def digest(self) -> str:
        """Return the sha256 of what it says, however its file is laid out; for bags."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()

    def to_text(self) -> str:
        """Return the content of LeRobot's file."""
        named = zip(JOINTS, self.joints, strict=True)
        return json.dumps({name: asdict(joint) for name, joint in named}, indent=4) + "\n"

    @cached_property
    def _zero_ticks(self) -> FloatArray:
        ticks = (self.range_min + self.range_max) / 2.0
        ticks[GRIPPER] = self.range_min[GRIPPER]
        return frozen(ticks)

    @cached_property
    def _zero_rad(self) -> FloatArray:
        rad = np.zeros(len(JOINTS))
        rad[GRIPPER] = so101().lower[GRIPPER]
        return frozen(rad)


def read_calibration(path: Path) -> Calibration:
    """Read LeRobot's calibration file.

    Raises:
        ConfigError: The file is missing or not such a file, or says what cannot be; the message
            names file, joint and key.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        values = json.loads(content, object_pairs_hook=_no_duplicates)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: no LeRobot calibration of an SO-101: {error}") from error
    return calibration_from(values, str(path))


def calibration_from(values: Any, where: str) -> Calibration:
    """Build a calibration from the content of LeRobot's file.

    Raises:
        ConfigError: As `read_calibration`.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: no LeRobot calibration of an SO-101: not joints by name")
    missing = [name for name in JOINTS if name not in values]
    unknown = [name for name in values if name not in JOINTS]
    if missing or unknown:
        wrong = [f"missing {', '.join(missing)}"] if missing else []
        wrong += [f"unknown {', '.join(unknown)}"] if unknown else []
        raise ConfigError(f"{where}: no LeRobot calibration of an SO-101: {'; '.join(wrong)}")
    joints = [_joint_from(values[name], f"{where}: {name}") for name in JOINTS]
    return Calibration(tuple(joints), where)


def _joint_from(values: Any, where: str) -> JointCalibration:
    keys = [field.name for field in fields(JointCalibration)]
    if not isinstance(values, Mapping) or set(values) != set(keys):
        raise ConfigError(f"{where}: expected the keys {', '.join(keys)}, got {values!r:.100}")
    for key in keys:
        if type(values[key]) is not int:
            raise ConfigError(f"{where}: {key}: expected a whole number, got {values[key]!r:.100}")
    return JointCalibration(**values)


def _check_joint(name: str, joint: JointCalibration, where: str) -> None:
    ends = {
        "id": (0, LARGEST_ID),
        "drive_mode": (0, 0),
        "homing_offset": (-LARGEST_OFFSET, LARGEST_OFFSET),
        "range_min": (0, LAST_TICK),
        "range_max": (0, LAST_TICK),
    }
    for key, (low, high) in ends.items():
        if not low <= getattr(joint, key) <= high:
            raise ConfigError(f"{where}: {key} {getattr(joint, key)} is outside {low}..{high}")
    if joint.range_min >= joint.range_max:
        raise ConfigError(
            f"{where}: range_min {joint.range_min} is not below range_max {joint.range_max}"
        )
    if name != FULL_TURN_JOINT:
        _check_wrap(name, joint, where)


def _check_wrap(name: str, joint: JointCalibration, where: str) -> None:
    """Refuse a range across which the encoder begins anew: its positions would jump by a turn."""
    low, high = joint.range_min, joint.range_max
    if low < _WRAP_MARGIN and high > LAST_TICK - _WRAP_MARGIN:
        raise ConfigError(
            f"{where}: range_min {low} and range_max {high} are a whole turn: its encoder went "
            "past its end while it was moved; calibrate again from the middle"
        )
    at = JOINTS.index(name)
    half_way = float(so101().upper[at] - so101().lower[at]) / 2.0 / RAD_PER_TICK
    middle = (low + high) / 2.0
    if at != GRIPPER and not half_way <= middle <= LAST_TICK - half_way:
        raise ConfigError(
            f"{where}: range_min {low} and range_max {high} put its middle at {middle:g}: it "
            f"turns {half_way:.0f} ticks each way, past the encoder's end; calibrate again from "
            "the middle"
        )


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate key {key!r}")
        found[key] = value
    return found
