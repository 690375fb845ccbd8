"""The process graph as plain data: which nodes run, with which parameters.

Written once. `so101_bringup.supervisor` runs it as processes, `so101_bringup.launch_rendering`
turns it into launch_ros actions, and a test holds the two against each other. Neither ROS nor any
node is imported here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so101.errors import ConfigError
from so101.simulation.tasks.table import make_task
from so101_bringup.graph_options import GraphOptions as GraphOptions
from so101_bringup.paths import PACKAGE, RunPaths, check_sections
from so101_bringup.policy_options import (
    check_policy,
    decision_ticks_of,
    policy_values,
    refuse_server,
)
from so101_bringup.session_defaults import goals_of

ParameterValue = bool | int | float | str | tuple[str, ...] | tuple[float, ...]

NODES = (
    "simulation_node",
    "teleop_node",
    "intervention_node",
    "motion_node",
    "policy_node",
    "reward_node",
    "recorder_node",
    "learner_node",
)
"""Every node of ours that is there once, named like its executable; a graph has some of them."""

CAMERA_NODE = "camera_node"
"""Runs once for every camera of a real robot, named `camera_name`."""


LARGE_MESSAGES = {
    "FASTDDS_BUILTIN_TRANSPORTS": (
        "LARGE_DATA?max_msg_size=1500KB&sockets_size=4MB&non_blocking=true"
    )
}
"""The default transports lose raw frames of 640x480; these do not."""


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One process of the graph.

    Attributes:
        executable: Console script of ``package``; of ours also the Python package it runs.
        name: Node name.
        package: ROS package the executable belongs to.
        namespace: Namespace of every relative name; empty for none.
        config_files: Names of parameter files in ``config``.
        parameters: Parameter values; they win over ``config_files``.
        own_files: Paths of a person's parameter files; they win over everything.
        remappings: Pairs of a topic's or service's name and its new name.
        is_essential: The graph ends with an error when this process does.
        respawn: Started again when it dies, with growing pauses.
    """

    executable: str
    name: str
    package: str = PACKAGE
    namespace: str = ""
    config_files: tuple[str, ...] = ()
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    own_files: tuple[str, ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    is_essential: bool = True
    respawn: bool = False


@dataclass(frozen=True, kw_only=True)
class _Robot:
    """Parameters that several nodes share, from the options."""

    cameras: tuple[str, ...]
    uses_objects: bool
    lockstep: bool
    paths: RunPaths

    @classmethod
    def of(cls, options: GraphOptions) -> "_Robot":
        return cls(
            cameras=() if options.state else options.cameras,
            uses_objects=options.state,
            lockstep=options.robot == "sim",
            paths=options.paths,
        )


def rl_graph(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return the main job: demonstrations, fine-tuning, hot reload, evaluation, groups.

    Raises:
        ConfigError: The options do not make a graph in which our gate guards the arm.
    """
    if options.continuous:
        raise ConfigError("continuous: the session counts and learns from a bag per episode")
    if options.images == "raw":
        raise ConfigError("images: the learner reads JPEG frames; choose compressed or both")
    refuse_server(options)
    makers = (_simulation, _teleop, _intervention, _motion, _policy, _recorder, _learner)
    return _graph(options, makers, job="rl")


def record_graph(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return what records demonstrations: no policy, no learner."""
    makers = (_simulation, _teleop, _intervention, _motion, _recorder)
    return _graph(options, makers, job="record")


def evaluate_graph(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return what runs a policy and counts its successes; refused without one."""
    if not (options.checkpoint or options.server):
        raise ConfigError("checkpoint: name the checkpoint directory to evaluate, or a server")
    makers = (_simulation, _intervention, _motion, _policy, _recorder)
    return _graph(options, makers, job="evaluate")


def up_graph(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return the robot with everything but the learner; episodes are started by service."""
    makers = (_simulation, _teleop, _intervention, _motion, _policy, _recorder)
    return _graph(options, makers, job="manual")


GRAPHS: Mapping[str, Callable[[GraphOptions], tuple[NodeSpec, ...]]] = {
    "rl": rl_graph,
    "record": record_graph,
    "evaluate": evaluate_graph,
    "up": up_graph,
}


def launchable(value: ParameterValue) -> ParameterValue:
    """Return a value as launch and ROS command lines can pass it: they know no empty list.

    ``so101.ros.params`` reads a list of one empty text as an empty list.
    """
    return ("",) if value == () else value


def environment_of(options: GraphOptions) -> dict[str, str]:
    """Return the environment variables every process of the graph gets."""
    common = {"ROS_AUTOMATIC_DISCOVERY_RANGE": options.discovery.upper(), "OMP_NUM_THREADS": "1"}
    return common if options.images == "compressed" else {**common, **LARGE_MESSAGES}


def _graph(
    options: GraphOptions,
    makers: tuple[Callable[[GraphOptions, _Robot], NodeSpec], ...],
    job: str,
) -> tuple[NodeSpec, ...]:
    _check(options)
    robot = _Robot.of(options)
    nodes = [make(options, robot) for make in makers]
    nodes += camera_nodes(options) if options.robot == "real" and not options.state else ()
    nodes.append(_reward(options, robot, job, tuple(node.name for node in nodes)))
    for path in _own_files(options):
        check_sections(Path(path), node_names(options), options.namespace)
    return (*nodes, *(_rviz(options) if options.launch_rviz else ()))


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


def camera_nodes(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return a node for every camera of a real robot.

    Which device it is stands in a person's file, in the section of that name.
    """
    return tuple(
        NodeSpec(
            executable=CAMERA_NODE,
            name=camera_name(camera),
            namespace=options.namespace,
            parameters={
                "camera": camera,
                "width": options.camera_width,
                "height": options.camera_height,
                "raw_images": options.images != "compressed",
            },
            own_files=_own_files(options),
            is_essential=False,
            respawn=True,
        )
        for camera in options.cameras
    )


def _own_files(options: GraphOptions) -> tuple[str, ...]:
    path = options.params_file
    return (str(Path(path).expanduser().absolute()),) if path else ()


def _check(options: GraphOptions) -> None:
    if not options.robot:
        raise ConfigError("robot: choose robot:=sim or robot:=real; it is never guessed")
    if options.use_ros2_control:
        raise ConfigError(
            "use_ros2_control: not yet: joint_commands and the safety gate would be missing, "
            "and nothing that was executed could be learned from"
        )
    if options.robot == "real":
        raise ConfigError("robot:=real: the servo driver is not part of this version; use sim")
    check_policy(options)
    if not options.state and not options.cameras:
        raise ConfigError("cameras: name at least one, or choose state:=true")
    make_task(options.task, options.start)


def _node(options: GraphOptions, executable: str, values: dict[str, Any], **more: Any) -> NodeSpec:
    """Return one of our nodes, which are named like their executables."""
    if options.use_sim_time:
        values["use_sim_time"] = True
    return NodeSpec(
        executable=executable,
        name=executable,
        namespace=options.namespace,
        parameters=values,
        config_files=(f"{executable}.yaml",),
        own_files=_own_files(options),
        **more,
    )


def _simulation(options: GraphOptions, robot: _Robot) -> NodeSpec:
    values = {
        "cameras": robot.cameras,
        "camera_height": options.camera_height,
        "camera_width": options.camera_width,
        "raw_images": options.images != "compressed",
        "lockstep": robot.lockstep,
        "speed": options.speed,
        "simulated_latency": options.simulated_latency,
    }
    return _node(options, "simulation_node", values)


def _teleop(options: GraphOptions, robot: _Robot) -> NodeSpec:
    values = {"device": "scripted", "task": options.task, "lockstep": robot.lockstep}
    return _node(options, "teleop_node", values)


def _intervention(options: GraphOptions, robot: _Robot) -> NodeSpec:
    ticks = decision_ticks_of(options)
    values = {"lockstep": robot.lockstep, "policy_decision_ticks": ticks}
    return _node(options, "intervention_node", values)


def _motion(options: GraphOptions, robot: _Robot) -> NodeSpec:
    return _node(options, "motion_node", {})


def _policy(options: GraphOptions, robot: _Robot) -> NodeSpec:
    values = {
        "cameras": robot.cameras,
        "uses_objects": robot.uses_objects,
        "lockstep": robot.lockstep,
        "aux": options.aux,
        "seed": options.seed,
        **policy_values(options),
    }
    return _node(options, "policy_node", values, is_essential=False, respawn=True)


def _recorder(options: GraphOptions, robot: _Robot) -> NodeSpec:
    values = {
        "store": str(robot.paths.episodes),
        "cameras": robot.cameras,
        "images": options.images,
        "continuous": options.continuous,
        "aux": options.aux,
        "has_objects": options.robot == "sim",
        "lockstep": robot.lockstep,
    }
    return _node(options, "recorder_node", values)


def _learner(options: GraphOptions, robot: _Robot) -> NodeSpec:
    values = {
        "store": str(robot.paths.episodes),
        "checkpoints": str(robot.paths.checkpoints),
        "algorithm": options.algorithm,
        "cameras": robot.cameras,
        "uses_objects": robot.uses_objects,
        "seed": options.seed,
        "gate.by": options.gate,
        "gate.margin": goals_of(options).gate_margin,
    }
    return _node(options, "learner_node", values, is_essential=False, respawn=True)


def _reward(options: GraphOptions, robot: _Robot, job: str, peers: tuple[str, ...]) -> NodeSpec:
    goals = goals_of(options)
    values: dict[str, Any] = {
        "peers": peers,
        "session.job": job,
        "session.task": options.task,
        "session.start": options.start,
        "session.seed": options.seed,
        "session.operator": options.operator,
        "session.demonstrations": goals.demonstrations,
        "session.more_demonstrations": goals.more_demonstrations,
        "session.max_demonstrations": goals.max_demonstrations,
        "session.evaluation_episodes": goals.evaluation_episodes,
        "session.target_success": goals.target_success,
        "session.groups": goals.groups,
        "session.rollouts": goals.rollouts,
        "session.rule": options.rule,
        "checkpoint": options.sha256,
        "store": str(robot.paths.episodes),
        "lockstep": robot.lockstep,
    }
    return _node(options, "reward_node", values)


def _rviz(options: GraphOptions) -> tuple[NodeSpec, ...]:
    from so101.kinematics.urdf import robot_description  # xacro: only who asks for RViz pays

    foreign: dict[str, dict[str, ParameterValue]] = {
        "robot_state_publisher": {"robot_description": robot_description()},
        "rviz2": {},
    }
    return tuple(
        NodeSpec(
            package=name,
            executable=name,
            name=name,
            namespace=options.namespace,
            parameters=parameters,
            is_essential=False,
        )
        for name, parameters in foreign.items()
    )
