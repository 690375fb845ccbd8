"""The processes of the graph one by one: which parameters each node has, from the options."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so101.servos.calibration_files import calibration_root, find_calibration
from so101_bringup.graph_options import GraphOptions
from so101_bringup.node_spec import CAMERA_NODE, NodeSpec, ParameterValue, camera_name
from so101_bringup.paths import RunPaths
from so101_bringup.policy_options import decision_ticks_of, policy_values
from so101_bringup.session_defaults import goals_of

REST_S = 15.0
"""The real arm has so long to go to its rest pose before it is left holding where it is [s]."""

REAL_SPEED = 0.25
"""Share of the joints' velocity limits with which a real arm goes home."""

BY_PEOPLE: dict[str, ParameterValue] = {
    "has_objects": False,
    "arms_itself": False,
    "session.recovery": 0.0,
    "time_limit": 60.0,
    "teleop_time_limit": 120.0,
    "wait_bound": 5.0,
}
"""A real robot's session: people set up the scene, arm and judge, take their time [s], and hear
soon what is waited for. Only the simulation can put an arm somewhere off home."""


@dataclass(frozen=True, kw_only=True)
class Robot:
    """Parameters that several nodes share, from the options."""

    is_real: bool
    cameras: tuple[str, ...]
    uses_objects: bool
    lockstep: bool
    paths: RunPaths

    @classmethod
    def of(cls, options: GraphOptions) -> "Robot":
        """Return what follows from the options."""
        return cls(
            is_real=options.robot == "real",
            cameras=() if options.state else options.cameras,
            uses_objects=options.state,
            lockstep=options.robot == "sim",
            paths=options.paths,
        )


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
        own_files=own_files(options),
        **more,
    )


def _learning_node(options: GraphOptions, executable: str, values: dict[str, Any]) -> NodeSpec:
    """Return a node that imports torch: it may die and come back, in a Python of its own."""
    python = options.learning_python
    path = str(Path(python).expanduser().absolute()) if python else ""
    return _node(options, executable, values, is_essential=False, respawn=True, python=path)


def hardware_node(options: GraphOptions, robot: Robot) -> NodeSpec:
    """Return the servos of the real arm."""
    values: dict[str, Any] = {
        "port": options.usb_port,
        "calibration": calibration_of(options),
        "write_eeprom": options.write_eeprom,
    }
    if options.below_control == "topic":
        values["use_ros2_control"] = True
    return _node(options, "hardware_node", values, ending_s=REST_S)


def calibration_of(options: GraphOptions) -> str:
    """Return the calibration file that was named, or the one of the arm that was named."""
    if options.calibration or not options.robot_id:
        return options.calibration
    root = calibration_root(os.environ, Path.home())
    return str(find_calibration(root, "follower", options.robot_id))


def simulation_node(options: GraphOptions, robot: Robot) -> NodeSpec:
    """Return the simulated robot."""
    values = {
        "cameras": robot.cameras,
        "camera_height": options.camera_height,
        "camera_width": options.camera_width,
        "raw_images": options.images != "compressed",
        "lockstep": options.waits,
        "speed": options.speed if options.waits else options.speed or 1.0,
        "simulated_latency": options.simulated_latency,
    }
    return _node(options, "simulation_node", values)


def teleop_node(options: GraphOptions, robot: Robot) -> NodeSpec:
    """Return whoever teleoperates."""
    values = {"device": options.teleop, "task": options.task, "lockstep": robot.lockstep}
    if options.teleop == "leader":
        values["leader.port"] = options.leader_port
        values["leader.calibration"] = options.leader_calibration
    return _node(options, "teleop_node", values)


def intervention_node(options: GraphOptions, robot: Robot) -> NodeSpec:
    """Return who decides on control."""
    ticks = decision_ticks_of(options)
    values = {
        "lockstep": options.waits,
        "policy_decision_ticks": ticks,
        "teleop_device": options.teleop,
    }
    return _node(options, "intervention_node", values)


def motion_node(options: GraphOptions, robot: Robot) -> NodeSpec:
    """Return who brings the arm home."""
    return _node(options, "motion_node", {"speed": REAL_SPEED} if robot.is_real else {})


def policy_node(options: GraphOptions, robot: Robot) -> NodeSpec:
    """Return the policy; everybody else lives on without it."""
    values = {
        "cameras": robot.cameras,
        "uses_objects": robot.uses_objects,
        "lockstep": robot.lockstep,
        "aux": options.aux,
        "seed": options.seed,
        **policy_values(options),
    }
    return _learning_node(options, "policy_node", values)


def recorder_node(options: GraphOptions, robot: Robot) -> NodeSpec:
    """Return who records."""
    values = {
        "store": str(robot.paths.episodes),
        "cameras": robot.cameras,
        "images": options.images,
        "continuous": options.continuous,
        "aux": options.aux,
        "has_objects": not robot.is_real,
        "lockstep": robot.lockstep,
    }
    return _node(options, "recorder_node", values)


def learner_node(options: GraphOptions, robot: Robot) -> NodeSpec:
    """Return who learns; everybody else lives on without it."""
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
    return _learning_node(options, "learner_node", values)


def reward_node(options: GraphOptions, robot: Robot, job: str, peers: tuple[str, ...]) -> NodeSpec:
    """Return who runs the session.

    Args:
        options: What a person chose.
        robot: What follows from it.
        job: Of the session.
        peers: Names of the nodes that it waits for.
    """
    goals = goals_of(options)
    values: dict[str, Any] = {
        "peers": peers,
        "session.job": job,
        "session.task": options.task,
        "session.instruction": options.instruction,
        "session.start": options.start,
        "session.seed": options.seed,
        "session.id_prefix": id_prefix_of(options.namespace),
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
        **(BY_PEOPLE if robot.is_real else {}),
    }
    return _node(options, "reward_node", values)


def id_prefix_of(namespace: str) -> str:
    """Return what an arm's episodes begin with: its namespace, as file names may have it."""
    words = [word for word in namespace.split("/") if word]
    return "".join(f"{word}-" for word in words)


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
            own_files=own_files(options),
            is_essential=False,
            respawn=True,
        )
        for camera in options.cameras
    )


def marker_node(options: GraphOptions) -> NodeSpec:
    """Return who draws the session for RViz; nothing depends on it."""
    values = {"frame_prefix": options.frame_prefix + options.prefix}
    return _node(options, "marker_node", values, is_essential=False, respawn=True)


def own_files(options: GraphOptions) -> tuple[str, ...]:
    """Return the paths of a person's parameter files."""
    path = options.params_file
    return (str(Path(path).expanduser().absolute()),) if path else ()
