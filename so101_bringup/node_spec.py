"""What a process of the graph is, as plain data, and what our nodes are called."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from so101_bringup.graph_options import GraphOptions
from so101_bringup.paths import PACKAGE

ParameterValue = bool | int | float | str | tuple[str, ...] | tuple[float, ...]

NODES = (
    "simulation_node",
    "hardware_node",
    "teleop_node",
    "intervention_node",
    "motion_node",
    "policy_node",
    "reward_node",
    "recorder_node",
    "learner_node",
    "marker_node",
)
"""Every node of ours that is there once, named like its executable; a graph has some of them."""

CAMERA_NODE = "camera_node"
"""Runs once for every camera of a real robot, named `camera_name`."""


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One process of the graph.

    Attributes:
        executable: Console script of ``package``; of ours also the Python package it runs.
        name: Node name.
        names_itself: It is several nodes, which a name from outside would make one of.
        package: ROS package the executable belongs to.
        namespace: Namespace of every relative name; empty for none.
        config_files: Names of parameter files in ``config``.
        parameters: Parameter values; they win over ``config_files``.
        own_files: Paths of a person's parameter files; they win over everything.
        remappings: Pairs of a topic's or service's name and its new name.
        arguments: What its command line has before ``--ros-args``.
        python: Path of the interpreter that runs it; empty for the one it was installed for.
        is_essential: The graph ends when this process does: with an error, unless it was ended.
        ends_itself: It does its work and ends with exit code 0, as a spawner.
        respawn: Started again when it dies, with growing pauses.
        ending_s: It may take so long to end [s]; 0 for as long as everybody.
        after: Name of a topic whose first message it waits for before it starts; empty for none.
    """

    executable: str
    name: str
    names_itself: bool = False
    package: str = PACKAGE
    namespace: str = ""
    config_files: tuple[str, ...] = ()
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    own_files: tuple[str, ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    python: str = ""
    is_essential: bool = True
    ends_itself: bool = False
    respawn: bool = False
    ending_s: float = 0.0
    after: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is a node of this package, which needs no ROS distribution."""
        return self.package == PACKAGE


def camera_name(camera: str) -> str:
    """Return the name of the node of a camera."""
    return f"{camera}_camera"


def node_names(options: GraphOptions) -> tuple[str, ...]:
    """Return the names of all nodes of ours, those of other graphs as well."""
    return (*NODES, *map(camera_name, options.cameras))


def executable_of(name: str) -> str:
    """Return the executable of a node of ours by its name; empty for a node of somebody else."""
    if name in NODES:
        return name
    return CAMERA_NODE if name.endswith(camera_name("")) else ""


def launchable(value: ParameterValue) -> ParameterValue:
    """Return a value as launch and ROS command lines can pass it: they know no empty list.

    ``so101.ros.params`` reads a list of one empty text as an empty list.
    """
    return ("",) if value == () else value


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings, their names joined by dots."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", tuple(value) if isinstance(value, list) else value
