"""In which units a LeRobot policy's joints are: said, checked by its statistics, never guessed.

Degrees put 0 at the middle of a joint's range; -100 and 100 are the ends of the calibrated range,
so that they need the arm's calibration. The gripper is 0 (closed) to 100 (open) either way.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from so101.arrays import FloatArray
from so101.data.exchange.lerobot_values import ACTION, STATE, Units
from so101.errors import CheckpointError, ConfigError
from so101.policies.json_file import read_json
from so101.policies.lerobot_files import PREPROCESSOR, LeRobotSource
from so101.policies.tensor_file import read_tensors
from so101.robot import GRIPPER, JOINTS
from so101.servos.calibration import read_calibration

_END = 100.0
_GRIPPER_SLACK = 5.0
_LARGEST_RAD = 3.2
"""Values that stay below half a turn everywhere, the gripper's too, are no degrees."""


def find_units(source: LeRobotSource, is_relative: bool) -> Units:
    """Return what the joint values of a foreign checkpoint mean.

    Args:
        source: The checkpoint; its options may say the units.
        is_relative: Its actions are differences, which tell nothing.

    Raises:
        CheckpointError: The units cannot be known, or are not what was said.
        ConfigError: The calibration is missing, superfluous or broken.
    """
    options, file = source.options, source.options_file
    if (options.units == "m100_100") != bool(options.calibration):
        raise ConfigError(f"{file}: units m100_100 and a calibration belong together")
    ranges = _ranges(source.directory, (STATE,) if is_relative else (STATE, ACTION))
    largest = check_ranges(ranges, str(source.directory))
    if options.units == "m100_100":
        if largest is not None and largest > _END:
            raise CheckpointError(
                f"{file}: units is m100_100, but {source.directory} has seen a body joint at "
                f"{largest:.1f}: these are degrees"
            )
        calibration = file.parent / Path(options.calibration).expanduser()
        return Units(half_range=read_calibration(calibration).half_range)
    if options.units == "degrees" or (largest is not None and largest > _END):
        return Units()
    seen = "has no statistics" if largest is None else f"has seen body joints up to {largest:.1f}"
    raise CheckpointError(
        f"{source.directory}: {seen}: degrees or -100..100? say units: degrees, or units: "
        f"m100_100 and calibration, in {file}"
    )


def check_ranges(ranges: Mapping[str, FloatArray], where: str) -> float | None:
    """Return the largest body joint value that was seen, None without statistics.

    Args:
        ranges: Column to its smallest and largest values. Shape (2, joints) each.
        where: The checkpoint, for messages.

    Raises:
        CheckpointError: These can be neither degrees nor parts of a range.
    """
    largest = None
    for column, ends in ranges.items():
        gripper, body = ends[:, GRIPPER], np.delete(ends, GRIPPER, axis=1)
        if not np.isfinite(ends).all():
            raise CheckpointError(f"{where}: statistics of {column} are not finite")
        if np.abs(ends).max() < _LARGEST_RAD:
            raise CheckpointError(
                f"{where}: {column} stays within {np.abs(ends).max():.2f}: radians? LeRobot's "
                "SO-101 has degrees or -100..100, and the gripper 0..100"
            )
        if gripper[0] < -_GRIPPER_SLACK or gripper[1] > _END + _GRIPPER_SLACK:
            raise CheckpointError(
                f"{where}: the gripper of {column} goes from {gripper[0]:.1f} to "
                f"{gripper[1]:.1f}, not 0..100"
            )
        largest = max(largest or 0.0, float(np.abs(body).max()))
    return largest


def units_to_json(units: Units) -> dict[str, Any]:
    """Return units ready for policy.json."""
    if units.half_range is None:
        return {"units": "degrees"}
    return {"units": "m100_100", "half_range": units.half_range.tolist()}


def units_from_json(units: str, half_range: tuple[float, ...], where: str) -> Units:
    """Read units from policy.json, the inverse of `units_to_json`.

    Raises:
        CheckpointError: They contradict each other.
    """
    if units == "degrees" and not half_range:
        return Units()
    good = len(half_range) == len(JOINTS) and all(0.0 < one < 4.0 for one in half_range)
    if units == "m100_100" and good:
        return Units(half_range=np.array(half_range))
    raise CheckpointError(f"{where}: config: units {units!r} with half_range {half_range}")


def _ranges(directory: Path, columns: tuple[str, ...]) -> dict[str, FloatArray]:
    """Return what the normalizer's statistics say about joints, of the columns that have any."""
    file = directory / PREPROCESSOR
    steps = read_json(file.resolve()).get("steps") if file.exists() else None
    names = [
        step.get("state_file")
        for step in steps or ()
        if isinstance(step, dict) and step.get("registry_name") == "normalizer_processor"
    ]
    found = {}
    for name in (name for name in names if isinstance(name, str) and "/" not in name):
        stats = read_tensors(directory / name)
        for column in columns:
            ends = [stats.get(f"{column}.{end}") for end in ("min", "max")]
            if any(end is None or end.shape != (len(JOINTS),) for end in ends):
                continue
            found[column] = np.array([end.double().numpy() for end in ends if end is not None])
    return found
