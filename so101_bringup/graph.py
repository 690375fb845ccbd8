"""The process graph as plain data: which nodes run, with which parameters.

Written once. `so101_bringup.supervisor` runs it as processes, `so101_bringup.launch_rendering`
turns it into launch_ros actions, and a test holds the two against each other. Neither ROS nor any
node is imported here. The single nodes are in `so101_bringup.node_makers`.
"""

import os
from collections.abc import Callable, Mapping

from so101.errors import ConfigError
from so101_bringup.foreign_nodes import diagnostics_node, joy_node
from so101_bringup.graph_checks import SCRIPTED, check_files, check_person, check_session
from so101_bringup.graph_options import GraphOptions as GraphOptions
from so101_bringup.node_makers import (
    Robot,
    camera_nodes,
    hardware_node,
    intervention_node,
    learner_node,
    motion_node,
    policy_node,
    recorder_node,
    reward_node,
    simulation_node,
    teleop_node,
)
from so101_bringup.node_spec import NodeSpec
from so101_bringup.part_graphs import (
    around,
    cameras_graph,
    description_graph,
    hardware_graph,
    learner_graph,
    motion_graph,
    moveit_graph,
    policy_graph,
    replay_graph,
    sim_graph,
    teleop_graph,
    view_graph,
)
from so101_bringup.paths import config_path
from so101_bringup.policy_options import refuse_server

LARGE_MESSAGES = {
    "FASTDDS_BUILTIN_TRANSPORTS": (
        "LARGE_DATA?max_msg_size=1500KB&sockets_size=4MB&non_blocking=true"
    )
}
"""The default transports lose raw frames of 640x480; these do not."""

PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE"
"""Environment variable: how Fast DDS runs, see ``config/fastdds.xml``."""

Maker = Callable[[GraphOptions, Robot], NodeSpec]


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
    makers = (
        simulation_node,
        teleop_node,
        intervention_node,
        motion_node,
        policy_node,
        recorder_node,
        learner_node,
    )
    return _graph(options, makers, job="rl")


def record_graph(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return what records demonstrations: no policy, no learner.

    Raises:
        ConfigError: Nobody teleoperates a real arm.
    """
    check_person(options)
    makers = (_arm(options), teleop_node, intervention_node, motion_node, recorder_node)
    return _graph(options, makers, job="record")


def evaluate_graph(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return what runs a policy and counts its successes.

    Raises:
        ConfigError: No policy is named.
    """
    if not (options.checkpoint or options.server):
        raise ConfigError("checkpoint: name the checkpoint directory to evaluate, or a server")
    makers = (_arm(options), intervention_node, motion_node, policy_node, recorder_node)
    return _graph(options, makers, job="evaluate")


def up_graph(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return the robot with everything but the learner; episodes are started by service.

    A real one has nodes only for a person and a policy that were chosen.
    """
    is_real = options.robot == "real"
    person = () if is_real and options.teleop == SCRIPTED else (teleop_node,)
    policy = () if is_real and not (options.checkpoint or options.server) else (policy_node,)
    makers = (_arm(options), *person, intervention_node, motion_node, *policy, recorder_node)
    return _graph(options, makers, job="manual")


Graph = Callable[[GraphOptions], tuple[NodeSpec, ...]]

SESSIONS: Mapping[str, Graph] = {
    "rl": rl_graph,
    "record": record_graph,
    "evaluate": evaluate_graph,
    "up": up_graph,
}
"""Graphs with a session: every node of ours that it needs, and RViz on request."""

PARTS: Mapping[str, Graph] = {
    "sim": sim_graph,
    "hardware": hardware_graph,
    "cameras": cameras_graph,
    "teleop": teleop_graph,
    "policy": policy_graph,
    "learner": learner_graph,
    "motion": motion_graph,
    "description": description_graph,
    "view": view_graph,
    "moveit": moveit_graph,
    "replay": replay_graph,
}
"""One piece of a robot each, see `so101_bringup.part_graphs`."""

GRAPHS: Mapping[str, Graph] = {**SESSIONS, **PARTS}


def environment_of(options: GraphOptions) -> dict[str, str]:
    """Return the environment variables every process of the graph gets."""
    common = {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": options.discovery.upper(),
        "OMP_NUM_THREADS": "1",
        PROFILES: os.environ.get(PROFILES) or str(config_path("fastdds.xml")),
    }
    return common if options.images == "compressed" else {**common, **LARGE_MESSAGES}


def _arm(options: GraphOptions) -> Maker:
    return hardware_node if options.robot == "real" else simulation_node


def _graph(options: GraphOptions, makers: tuple[Maker, ...], job: str) -> tuple[NodeSpec, ...]:
    check_session(options, job)
    robot = Robot.of(options)
    nodes = [make(options, robot) for make in makers]
    nodes += camera_nodes(options) if options.robot == "real" and not options.state else ()
    nodes.append(reward_node(options, robot, job, tuple(node.name for node in nodes)))
    check_files(options)
    nodes += [joy_node(options)] if options.launch_joy else []
    names = [node.name for node in nodes]
    nodes += [diagnostics_node(options, names)] if options.launch_diagnostics else []
    return (*nodes, *around(options))
