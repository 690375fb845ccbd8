"""The robot's URDF as text, made from the xacro files of ``so101_description``."""

import importlib
from functools import cache

from so101.robot import description_path


@cache
def robot_description(prefix: str = "", **arguments: str) -> str:
    """Return the URDF of the SO-101 on its desk.

    Args:
        prefix: Put in front of every link and joint name, for several arms in one scene.
        **arguments: More arguments of the xacro file, such as ``hardware_type``.
    """
    xacro = importlib.import_module("xacro")  # 60 ms; only who asks for the URDF pays
    source = description_path("urdf", "so101.urdf.xacro")
    mappings = {"prefix": prefix, **arguments}
    return str(xacro.process_file(str(source), mappings=mappings).toxml())
