"""Which units a dataset's joint values are in. Never guessed where it matters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from so101.data.exchange.lerobot_source import LeRobotSource
from so101.data.exchange.lerobot_values import ACTION, EXACT, STATE, Units
from so101.errors import BagError, ConfigError
from so101.robot import GRIPPER, JOINTS
from so101.servos.calibration import read_calibration

UnitName = Literal["auto", "degrees", "normalized"]
_NORMALIZED_END = 100.0
_FLAGS = "--units degrees, or --units normalized --calibration FILE"


def joint_order(source: LeRobotSource, column: str) -> list[int]:
    """Return where each of our joints stands in a column.

    Raises:
        BagError: The dataset is not of an SO-101 with LeRobot's joint names.
    """
    names = source.joint_names(column)
    if sorted(names) != sorted(JOINTS):
        held = ", ".join(names) or "no names"
        raise BagError(f"{source.root}: {column}: {held}; expected {', '.join(JOINTS)}")
    return [names.index(joint) for joint in JOINTS]


def find_units(
    source: LeRobotSource, wanted: UnitName = "auto", calibration: Path | None = None
) -> Units:
    """Return what the joint values mean.

    A body joint beyond 100 can only be in degrees. Where all are within -100..100 they may be
    degrees of a small motion or parts of a calibrated range: somebody has to say.

    Args:
        source: The dataset.
        wanted: What somebody said; ``auto`` for nothing.
        calibration: LeRobot's calibration file of the arm, for normalized values.

    Raises:
        BagError: The units cannot be known, or are not what was said.
        ConfigError: The calibration is missing, superfluous or broken.
    """
    if (wanted == "normalized") != (calibration is not None):
        raise ConfigError("--units normalized and --calibration FILE belong together")
    largest = _largest_body_value(source)
    if calibration is not None:
        if largest is not None and largest > _NORMALIZED_END:
            raise BagError(
                f"{source.root}: a body joint reaches {largest:.1f}: degrees, not -100..100"
            )
        return Units(half_range=read_calibration(calibration).half_range)
    is_ours = EXACT["positions"] in source.features
    if wanted == "degrees" or is_ours or (largest is not None and largest > _NORMALIZED_END):
        return Units()
    told = "has no statistics" if largest is None else f"holds body joints up to {largest:.1f}"
    raise BagError(f"{source.root}: {told}: degrees or -100..100? say {_FLAGS}")


def _largest_body_value(source: LeRobotSource) -> float | None:
    """Return the largest absolute value of a body joint in the dataset's statistics."""
    path = source.root / "meta" / "stats.json"
    try:
        stats: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        ends = [stats[column][end] for column in (STATE, ACTION) for end in ("min", "max")]
        rows = np.array(ends, dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if rows.shape != (4, len(JOINTS)):
        return None
    gripper = [joint_order(source, column)[GRIPPER] for column in (STATE, ACTION)]
    rows[:2, gripper[0]] = rows[2:, gripper[1]] = 0.0
    return float(np.abs(rows).max())
