"""Checks a person's parameter file against every node's parameters, before a process starts."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from so101.config import load_yaml
from so101.errors import ConfigError
from so101.ros.params import check_values
from so101_bringup.node_spec import NodeSpec, executable_of

_ROS_OWN = ("use_sim_time", "qos_overrides")
"""Parameters that ROS itself gives every node."""


def check_parameters(nodes: Sequence[NodeSpec]) -> None:
    """Refuse a parameter file with a value that the node of its section would refuse.

    Sections of our nodes that are not in this graph are checked as well: the file may be shared.

    Raises:
        ConfigError: The message names file, section, key and the nearest valid key.
    """
    for path in sorted({path for node in nodes if node.is_ours for path in node.own_files}):
        for section, body in load_yaml(Path(path)).items():
            node = str(section).rsplit("/", 1)[-1]
            if executable := executable_of(node):
                _check(executable, body, f"{path}: {section}")


def _check(node: str, body: Any, where: str) -> None:
    values = body.get("ros__parameters") if isinstance(body, Mapping) else None
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping named ros__parameters")
    own = {key: value for key, value in values.items() if _is_ours(key)}
    check_values(params_class(node), own, where)


def _is_ours(key: object) -> bool:
    return str(key).split(".")[0] not in _ROS_OWN


def params_class(node: str) -> type[Any]:
    """Return the dataclass of a node's parameters: ``PolicyParams`` of ``policy_node.params``."""
    name = node.removesuffix("_node").capitalize() + "Params"
    kind: type[Any] = getattr(import_module(f"{node}.params"), name)
    return kind
