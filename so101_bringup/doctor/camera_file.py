"""Which cameras a person's parameter file names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from camera_node.params import CameraParams
from so101.config import from_mapping, load_yaml
from so101.errors import ConfigError
from so101_bringup.graph_options import GraphOptions

_ENDING = "_camera"
_ROS_OWN = ("use_sim_time", "qos_overrides")


def named_cameras(path: Path) -> dict[str, CameraParams]:
    """Return the cameras that have a section ``<id>_camera``, by id, set as in a graph.

    Raises:
        ConfigError: The file cannot be read, or a value is not one; the message names it.
    """
    sections = load_yaml(path)
    if not isinstance(sections, Mapping):
        raise ConfigError(f"{path}: expected a mapping of nodes")
    found: dict[str, dict[str, Any]] = {}
    for section, body in sections.items():
        node = str(section).rsplit("/", 1)[-1]
        values = body.get("ros__parameters") if isinstance(body, Mapping) else None
        if node.endswith(_ENDING) and isinstance(values, Mapping):
            own = {k: v for k, v in values.items() if str(k).split(".")[0] not in _ROS_OWN}
            found.setdefault(node.removesuffix(_ENDING), {}).update(own)
    options = GraphOptions()
    size = {"width": options.camera_width, "height": options.camera_height}
    return {
        camera: from_mapping(
            CameraParams, {"camera": camera, **size, **values}, f"{path}: {camera}{_ENDING}"
        )
        for camera, values in found.items()
    }
