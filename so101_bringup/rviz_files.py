"""RViz's files: those in ``rviz``, and a copy of one for frames with a prefix.

RViz looks for a link's frame under ``<TF Prefix>/<link>``, so the prefix has to be in the file.
"""

import tempfile
from functools import cache
from pathlib import Path

import yaml

from so101.config import load_yaml
from so101.errors import ConfigError
from so101_bringup.paths import shared_path


def rviz_file(use: str, frame_prefix: str) -> Path:
    """Return the path of the file for a use.

    Args:
        use: Name of the shipped file, without its suffix.
        frame_prefix: In front of every TF frame; empty for none.

    Raises:
        ConfigError: RViz cannot show robots with this prefix.
    """
    path = shared_path("rviz", f"{use}.rviz")
    return _prefixed(path, frame_prefix) if frame_prefix else path


@cache
def _prefixed(path: Path, frame_prefix: str) -> Path:
    """Write the file for a prefix, once in a process and for as long as that lives."""
    if not frame_prefix.endswith("/") or len(frame_prefix) < 2:
        raise ConfigError(
            f"frame_prefix: {frame_prefix!r}: RViz puts a slash behind it, so end it with one, "
            "such as left/, or give RViz a file of your own (rviz_config_file)"
        )
    content = load_yaml(path)
    for display in content["Visualization Manager"]["Displays"]:
        if display["Class"] == "rviz_default_plugins/RobotModel":
            display["TF Prefix"] = frame_prefix.removesuffix("/")
    copy = Path(_folder().name, f"{frame_prefix.replace('/', '_')}{path.name}")
    copy.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return copy


@cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a directory that goes when this process does."""
    return tempfile.TemporaryDirectory(prefix="so101_rviz_")
