"""The robot's URDF as text, made from the xacro files of ``so101_description``."""

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from so101.errors import ConfigError
from so101.robot import description_path
from so101.servos.calibration import read_calibration

ARGUMENTS = (
    "prefix",
    "hardware_type",
    "usb_port",
    "calibration",
    "p_coefficient",
    "i_coefficient",
    "d_coefficient",
    "joint_commands_topic",
    "joint_states_topic",
    "mujoco_model",
    "headless",
    "initial_pose",
    "controllers_file",
)
"""What ``so101.urdf.xacro`` can be given; the file says what each is for."""

HARDWARE_TYPES = ("none", "mock", "topic", "feetech", "mujoco", "gazebo")
"""What drives the joints under ros2_control; none for a robot without it."""


@cache
def robot_description(prefix: str = "", **arguments: str) -> str:
    """Return the URDF of the SO-101 on its desk.

    Args:
        prefix: Put in front of every link and joint name, for several arms in one scene.
        arguments: Other names of `ARGUMENTS` with their values. Without any there is no
            ros2_control in it.

    Raises:
        ConfigError: An argument is unknown or missing for its ``hardware_type``, or the
            calibration file is none.
    """
    if unknown := [name for name in arguments if name not in ARGUMENTS]:
        raise ConfigError(f"URDF: unknown {', '.join(unknown)}; known: {', '.join(ARGUMENTS)}")
    if arguments.get("calibration"):
        read_calibration(Path(arguments["calibration"]))  # xacro would take any numbers
    return _expand(description_path("urdf", "so101.urdf.xacro"), {"prefix": prefix, **arguments})


@cache
def semantic_description(prefix: str = "") -> str:
    """Return the SRDF that MoveIt reads beside the URDF: groups, named poses, allowed collisions.

    Args:
        prefix: That of the URDF's links and joints.
    """
    return _expand(description_path("srdf", "so101.srdf.xacro"), {"prefix": prefix})


def _expand(source: Path, arguments: Mapping[str, str]) -> str:
    xacro = importlib.import_module("xacro")  # 60 ms; only who asks for the URDF pays
    # xacro imports it where it uses it, and makes an error of its own of a Ctrl-C meanwhile
    importlib.import_module("xacro.substitution_args")
    try:
        document = xacro.process_file(str(source), mappings=dict(arguments))
    except xacro.XacroException as error:
        raise ConfigError(f"{source}: {str(error).splitlines()[0]}") from error
    return str(document.toxml())
