"""The process graph as plain data: which nodes run, with which parameters.

Written once. `so101_bringup.supervisor` runs it as processes, `so101_bringup.launch_rendering`
turns it into launch_ros actions, and a test holds the two against each other. Neither ROS nor any
node is imported here. The single nodes are in `so101_bringup.node_makers`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from so101.errors import ConfigError
from so101.simulation.tasks.table import make_task
from so101_bringup.graph_options import GraphOptions as GraphOptions
from so101_bringup.node_makers import (
    Robot,
    camera_nodes,
    hardware_node,
    intervention_node,
    learner_node,
    motion_node,
    own_files,
    policy_node,
    recorder_node,
    reward_node,
    rviz_nodes,
    simulation_node,
    teleop_node,
)
from so101_bringup.node_spec import NodeSpec, node_names
from so101_bringup.paths import check_sections
from so101_bringup.policy_options import check_policy, refuse_server

LARGE_MESSAGES = {
    "FASTDDS_BUILTIN_TRANSPORTS": (
        "LARGE_DATA?max_msg_size=1500KB&sockets_size=4MB&non_blocking=true"
    )
}
"""The default transports lose raw frames of 640x480; these do not."""


SCRIPTED = "scripted"

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
    if options.robot == "real" and options.teleop == SCRIPTED:
        raise ConfigError(
            "teleop: choose leader, gamepad, joy or keyboard: the scripted human is part of the "
            "simulation"
        )
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


_CALIBRATED = "file; `so101 calibrate` makes one, and so101 finds it by its --id, too"

GRAPHS: Mapping[str, Callable[[GraphOptions], tuple[NodeSpec, ...]]] = {
    "rl": rl_graph,
    "record": record_graph,
    "evaluate": evaluate_graph,
    "up": up_graph,
}


def environment_of(options: GraphOptions) -> dict[str, str]:
    """Return the environment variables every process of the graph gets."""
    common = {"ROS_AUTOMATIC_DISCOVERY_RANGE": options.discovery.upper(), "OMP_NUM_THREADS": "1"}
    return common if options.images == "compressed" else {**common, **LARGE_MESSAGES}


def _arm(options: GraphOptions) -> Maker:
    return hardware_node if options.robot == "real" else simulation_node


def _graph(options: GraphOptions, makers: tuple[Maker, ...], job: str) -> tuple[NodeSpec, ...]:
    _check(options, job)
    robot = Robot.of(options)
    nodes = [make(options, robot) for make in makers]
    nodes += camera_nodes(options) if options.robot == "real" and not options.state else ()
    nodes.append(reward_node(options, robot, job, tuple(node.name for node in nodes)))
    for path in own_files(options):
        check_sections(Path(path), node_names(options), options.namespace)
    return (*nodes, *(rviz_nodes(options) if options.launch_rviz else ()))


def _check(options: GraphOptions, job: str) -> None:
    if not options.robot:
        raise ConfigError("robot: choose robot:=sim or robot:=real; it is never guessed")
    if options.use_ros2_control:
        raise ConfigError(
            "use_ros2_control: not yet: joint_commands and the safety gate would be missing, "
            "and nothing that was executed could be learned from"
        )
    if options.robot == "real":
        _check_real(options, job)
    check_policy(options)
    is_blind_by_hand = options.robot == "real" and job == "manual" and not options.checkpoint
    if not (options.state or options.cameras or is_blind_by_hand):
        without = (
            "only `up` without a policy needs none"
            if options.robot == "real"
            else ("or choose state:=true")
        )
        raise ConfigError(f"cameras: name at least one; {without}")
    if options.teleop == "leader":
        _check_leader(options)
    make_task(options.task, options.start)


def _check_real(options: GraphOptions, job: str) -> None:
    """Refuse what the real arm cannot do, or not yet."""
    if job == "rl":
        raise ConfigError(
            "robot:=real: rl tries its candidates in a simulated cell, and nobody has watched its "
            "rollouts on an arm yet; record, train and evaluate one after the other"
        )
    if options.state:
        raise ConfigError("state: nobody knows where objects are; simulation only")
    for name in ("speed", "simulated_latency", "use_sim_time"):
        if getattr(options, name):
            raise ConfigError(f"{name}: the time of a real arm is nobody's to choose")
    if not options.usb_port:
        raise ConfigError("usb_port: name the serial adapter of the arm (/dev/serial/by-id/...)")
    if not options.calibration:
        raise ConfigError(f"calibration: name the arm's calibration {_CALIBRATED}")


def _check_leader(options: GraphOptions) -> None:
    if not options.leader_port:
        raise ConfigError("leader_port: name the serial adapter of the leader arm")
    if not options.leader_calibration:
        raise ConfigError(f"leader_calibration: name the leader's calibration {_CALIBRATED}")
    if options.leader_port == options.usb_port:
        raise ConfigError(f"leader_port: {options.leader_port} is that of the follower")
