"""Classes of ROS types, found by their names."""

from importlib import import_module
from typing import Any


def interface_class(type_name: str) -> Any:
    """Return the class of a ROS type such as ``sensor_msgs/msg/JointState``."""
    package, kind, name = type_name.split("/")
    return getattr(import_module(f"{package}.{kind}"), name)
