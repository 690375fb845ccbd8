"""Where LeRobot keeps the calibration of an arm: by kind and id, in its cache directory."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from so101.errors import ConfigError

ArmKind = Literal["follower", "leader"]
ARM_KINDS: tuple[ArmKind, ...] = ("follower", "leader")
_FOLDERS: Mapping[str, tuple[str, str]] = {
    "follower": ("robots/so_follower", "robots/so101_follower"),
    "leader": ("teleoperators/so_leader", "teleoperators/so101_leader"),
}
"""LeRobot's folders, the one that it uses now and the one of its older versions."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def calibration_root(environ: Mapping[str, str], home: Path) -> Path:
    """Return the directory of all calibrations, as LeRobot's variables have it.

    Args:
        environ: The process's environment.
        home: The user's home directory.
    """
    if named := environ.get("HF_LEROBOT_CALIBRATION"):
        return _expanded(named, home)
    if named := environ.get("HF_LEROBOT_HOME"):
        return _expanded(named, home) / "calibration"
    cache = _expanded(environ.get("XDG_CACHE_HOME") or "~/.cache", home) / "huggingface"
    return _expanded(environ.get("HF_HOME") or str(cache), home) / "lerobot/calibration"


def calibration_path(root: Path, kind: ArmKind, robot_id: str) -> Path:
    """Return where LeRobot writes an arm's calibration, and so do we.

    Raises:
        ConfigError: The id cannot be a file's name.
    """
    return root / _FOLDERS[kind][0] / f"{_checked(robot_id)}.json"


def find_calibration(root: Path, kind: ArmKind, robot_id: str) -> Path:
    """Return the calibration file of an arm; where both folders have one, that of the newer.

    LeRobot reads only the newer folder, so that a file there is the one in use.

    Raises:
        ConfigError: There is none; the message names where it was looked for and what is there.
    """
    paths = [root / folder / f"{_checked(robot_id)}.json" for folder in _FOLDERS[kind]]
    for path in paths:
        if path.is_file():
            return path
    known = sorted({file.stem for path in paths for file in path.parent.glob("*.json")})
    there = f"there: {', '.join(known)}" if known else "nothing is there"
    raise ConfigError(
        f"no calibration of the {kind} {robot_id!r}: looked for {paths[0]} and {paths[1]}; "
        f"{there}; so101 calibrate --arm {kind} --id {robot_id} makes one"
    )


def _expanded(name: str, home: Path) -> Path:
    return home / name[2:] if name == "~" or name.startswith("~/") else Path(name)


def _checked(robot_id: str) -> str:
    if not _ID.fullmatch(robot_id):
        raise ConfigError(
            f"id {robot_id!r}: expected up to 64 letters, digits, dots, dashes and underscores"
        )
    return robot_id
