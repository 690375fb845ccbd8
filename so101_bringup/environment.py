"""The environment of child processes: which variables of the user's shell stay out.

A shell that has sourced /opt/ros points Python, the loader and the ament index at another ROS than
the one in this project's virtual environment; a process that mixes the two crashes or, worse,
loads half of each. The Makefile keeps the same variables out (a test compares the two lists).
"""

import os
import sys
from collections.abc import Mapping

from so101.graph_clock import ANCHOR, measured_anchor

WHEELS_MARK = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
"""Set by the ROS wheels in every process whose ROS comes from them."""

FOREIGN_VARIABLES = (
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "AMENT_PREFIX_PATH",
    "AMENT_CURRENT_PREFIX",
    "COLCON_PREFIX_PATH",
    "COLCON_CURRENT_PREFIX",
    "CMAKE_PREFIX_PATH",
    "PKG_CONFIG_PATH",
    "RMW_IMPLEMENTATION",
    "ROS_DISTRO",
    "ROS_VERSION",
    "ROS_PYTHON_VERSION",
    "ROS_PACKAGE_PATH",
    "ROS_ROOT",
    "ROS_ETC_DIR",
    "ROS_MASTER_URI",
    WHEELS_MARK,
)
"""Variables that choose Python modules, libraries, packages or the middleware.

WHEELS_MARK goes together with LD_LIBRARY_PATH: a child that has one without the other finds no
librcl; with neither, it finds the wheels' libraries by itself. What the user decides about the
network (ROS_DOMAIN_ID, ROS_AUTOMATIC_DISCOVERY_RANGE, ROS_STATIC_PEERS ...) stays.
"""


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of an environment without the variables that choose another ROS or Python.

    Where ROS does not come from wheels (WHEELS_MARK is not set), it comes from the sourced
    distribution, which these variables describe: then nothing is taken out.

    Args:
        environ: The environment of this process.
    """
    if WHEELS_MARK not in environ:
        return dict(environ)
    return {name: value for name, value in environ.items() if name not in FOREIGN_VARIABLES}


def begun_clock() -> dict[str, str]:
    """Return the variable by which every process of a graph that begins now has one clock.

    One that the shell has is not taken over: the date may have been set since.
    """
    return {ANCHOR: str(measured_anchor())}


def is_clean(environ: Mapping[str, str]) -> bool:
    """Tell whether `clean_environment` would change what a process of the wheels finds.

    Args:
        environ: The environment of this process. Its mark and its library path are the wheels'
            own work, unless the library path leads out of this Python's prefix as well.
    """
    if WHEELS_MARK not in environ:
        return True
    own = (WHEELS_MARK, "LD_LIBRARY_PATH")
    if any(name in environ for name in FOREIGN_VARIABLES if name not in own):
        return False
    libraries = environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return all(path.startswith(sys.prefix + os.sep) for path in libraries if path)
