"""What makes no graph: options that contradict each other, or a robot without what guards it."""

from collections.abc import Iterable
from pathlib import Path

from so101.errors import ConfigError
from so101.simulation.tasks.table import make_task
from so101_bringup.graph_options import GraphOptions
from so101_bringup.node_makers import own_files
from so101_bringup.node_spec import NodeSpec, node_names
from so101_bringup.paths import check_sections
from so101_bringup.policy_options import check_policy

SCRIPTED = "scripted"
_CALIBRATED = "file; `so101 calibrate` makes one, and so101 finds it by its --id, too"


def check_session(options: GraphOptions, job: str) -> None:
    """Refuse what makes no session.

    Args:
        options: What was chosen.
        job: Of the session.

    Raises:
        ConfigError: The message names the option and what to do.
    """
    check_robot(options)
    if options.below_control and (options.robot, options.below_control) != ("real", "topic"):
        raise ConfigError(
            "use_ros2_control: a session takes it on the real arm with hardware_type:=topic: "
            "elsewhere joint_commands and the safety gate would be missing, and nothing that was "
            "executed could be learned from"
        )
    if options.robot == "real":
        _check_real_session(options, job)
    check_policy(options)
    is_blind_by_hand = options.robot == "real" and job == "manual" and not options.checkpoint
    if not (options.state or options.cameras or is_blind_by_hand):
        way = "only `up` without a policy needs none"
        if options.robot != "real":
            way = "or choose state:=true"
        raise ConfigError(f"cameras: name at least one; {way}")
    check_teleop(options)
    make_task(options.task, options.start)


def check_robot(options: GraphOptions) -> None:
    """Refuse to guess the robot."""
    if not options.robot:
        raise ConfigError("robot: choose robot:=sim or robot:=real; it is never guessed")


def check_teleop(options: GraphOptions) -> None:
    """Refuse a leader that is not named whole."""
    if options.launch_joy and options.teleop != "joy":
        raise ConfigError("launch_joy: joy_node is read with teleop:=joy only")
    if options.teleop == "leader":
        _check_leader(options)


def check_person(options: GraphOptions) -> None:
    """Refuse a real arm that nobody teleoperates."""
    if options.robot == "real" and options.teleop == SCRIPTED:
        raise ConfigError(
            "teleop: choose leader, gamepad, joy or keyboard: the scripted human is part of the "
            "simulation"
        )


def check_arm(options: GraphOptions) -> None:
    """Refuse a real arm without what it needs, and what only the simulation can."""
    check_time(options)
    if not options.usb_port:
        raise ConfigError("usb_port: name the serial adapter of the arm (/dev/serial/by-id/...)")
    if not (options.calibration or options.robot_id):
        raise ConfigError(f"calibration: name the arm's calibration {_CALIBRATED}")


def check_time(options: GraphOptions) -> None:
    """Refuse to change a real robot's time."""
    if options.robot != "real" or options.simulates_below_control:
        return
    for name in ("speed", "simulated_latency", "use_sim_time"):
        if getattr(options, name):
            raise ConfigError(f"{name}: the time of a real arm is nobody's to choose")


def check_files(options: GraphOptions) -> None:
    """Refuse a person's files with sections for nobody."""
    for path in own_files(options):
        check_sections(Path(path), node_names(options), options.namespace)


def here(nodes: Iterable[NodeSpec], options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return the nodes that this launch starts: without those that are ``elsewhere``.

    Raises:
        ConfigError: The graph has no node of such a name.
    """
    nodes = tuple(nodes)
    names = {node.name for node in nodes}
    for name in options.elsewhere:
        if name not in names:
            raise ConfigError(f"elsewhere: no node {name!r} here; nodes: {', '.join(names)}")
    return tuple(node for node in nodes if node.name not in options.elsewhere)


def check_description(options: GraphOptions) -> None:
    """Refuse sliders without a description of their own: two robots would be in one place.

    Raises:
        ConfigError: Sliders are wanted, and no robot_state_publisher for them.
    """
    if options.gui and not options.launch_description:
        raise ConfigError(
            "gui: sliders need a robot_state_publisher; leave launch_description out"
        )


def _check_real_session(options: GraphOptions, job: str) -> None:
    """Refuse what a session on the real arm cannot do, or not yet."""
    if job == "rl":
        raise ConfigError(
            "robot:=real: rl tries its candidates in a simulated cell, and nobody has watched its "
            "rollouts on an arm yet; record, train and evaluate one after the other"
        )
    if options.state:
        raise ConfigError("state: nobody knows where objects are; simulation only")
    check_arm(options)


def _check_leader(options: GraphOptions) -> None:
    if not options.leader_port:
        raise ConfigError("leader_port: name the serial adapter of the leader arm")
    if not options.leader_calibration:
        raise ConfigError(f"leader_calibration: name the leader's calibration {_CALIBRATED}")
    if options.leader_port == options.usb_port:
        raise ConfigError(f"leader_port: {options.leader_port} is that of the follower")
