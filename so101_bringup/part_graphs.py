"""Parts of the graph: one piece of the robot each, and what shows it.

The parts of our own nodes do not overlap: together with a session they are what `up` starts at
once. They serve several machines, and those who restart one piece beside the others.
"""

from dataclasses import replace

from so101.errors import ConfigError
from so101.simulation.tasks.table import make_task
from so101_bringup.foreign_nodes import (
    control_nodes,
    description_nodes,
    joy_node,
    move_group_node,
    rviz_node,
)
from so101_bringup.graph_checks import (
    check_arm,
    check_description,
    check_files,
    check_person,
    check_robot,
    check_teleop,
    check_time,
)
from so101_bringup.graph_options import GraphOptions
from so101_bringup.node_makers import (
    Robot,
    calibration_of,
    camera_nodes,
    hardware_node,
    intervention_node,
    learner_node,
    marker_node,
    motion_node,
    policy_node,
    simulation_node,
    teleop_node,
)
from so101_bringup.node_spec import NodeSpec
from so101_bringup.policy_options import check_policy
from so101_bringup.replay import NAMESPACE, player_node

_Nodes = tuple[NodeSpec, ...]


def sim_graph(options: GraphOptions) -> _Nodes:
    """Return the simulated arm and its arbiter."""
    options = replace(_without_control(options), robot="sim")
    robot = _robot(options)
    nodes = (simulation_node(options, robot), intervention_node(options, robot))
    return (*nodes, *around(options))


def hardware_graph(options: GraphOptions) -> _Nodes:
    """Return the real arm: our driver and the arbiter, or ros2_control, or both.

    Raises:
        ConfigError: The arm is not named whole.
    """
    options = replace(options, robot="real")
    robot = _robot(options)
    below = options.below_control
    if below == "feetech" and not (options.usb_port and calibration_of(options)):
        raise ConfigError("feetech: name usb_port, and calibration or robot_id")
    ours: _Nodes = ()
    if below in ("", "topic"):
        check_arm(options)
        ours = (hardware_node(options, robot), intervention_node(options, robot))
    return (*ours, *around(options))


def cameras_graph(options: GraphOptions) -> _Nodes:
    """Return the real robot's cameras.

    Raises:
        ConfigError: There is none.
    """
    options = replace(options, robot="real")
    _robot(options)
    if not options.cameras:
        raise ConfigError("cameras: name at least one")
    return camera_nodes(options)


def teleop_graph(options: GraphOptions) -> _Nodes:
    """Return whoever teleoperates.

    Raises:
        ConfigError: Nobody does, or the leader is not named whole.
    """
    check_person(options)
    check_teleop(options)
    make_task(options.task, options.start)
    node = teleop_node(options, _robot(options))
    return (node, joy_node(options)) if options.launch_joy else (node,)


def policy_graph(options: GraphOptions) -> _Nodes:
    """Return the policy.

    Raises:
        ConfigError: It is two, or has neither eyes nor objects to look at.
    """
    check_policy(options)
    if not (options.state or options.cameras):
        raise ConfigError("cameras: name at least one, or choose state:=true")
    return (policy_node(options, _robot(options)),)


def learner_graph(options: GraphOptions) -> _Nodes:
    """Return the learner."""
    check_files(options)
    return (learner_node(options, Robot.of(options)),)


def motion_graph(options: GraphOptions) -> _Nodes:
    """Return who brings the arm home."""
    return (motion_node(options, _robot(options)),)


def description_graph(options: GraphOptions) -> _Nodes:
    """Return who says where every part of the robot is."""
    return description_nodes(options, is_controlled=True, has_sliders=True)


def view_graph(options: GraphOptions) -> _Nodes:
    """Return a window with the robot, which may run elsewhere; closing it ends everything."""
    check_description(options)
    has_description = options.gui or _has_description(options)
    nodes = description_nodes(options, has_sliders=True) if has_description else ()
    return (*nodes, rviz_node(options, "view", is_essential=True))


def moveit_graph(options: GraphOptions) -> _Nodes:
    """Return MoveIt beside a running robot."""
    nodes = description_nodes(options) if _has_description(options) else ()
    rviz = (rviz_node(options, "moveit"),) if options.launch_rviz else ()
    return (*nodes, move_group_node(options), *rviz)


def replay_graph(options: GraphOptions) -> _Nodes:
    """Return a bag that is played in a namespace of its own, with the transforms that bags lack.

    Raises:
        ConfigError: No bag is named.
    """
    if not options.bag:
        raise ConfigError("bag: name the directory of the episode or bag to replay")
    namespace = options.namespace.strip("/") or NAMESPACE
    options = replace(_without_control(options), use_sim_time=True, namespace=namespace)
    return (*description_nodes(options), player_node(options), *_shown(options, "replay"))


def around(options: GraphOptions) -> _Nodes:
    """Return what is around a robot where it was asked for: RViz, transforms, ros2_control."""
    if options.below_control:
        description = description_nodes(options, is_controlled=True)
        return (*description, *control_nodes(options), *_shown(options))
    if not options.launch_rviz:
        return ()
    if options.robot == "sim":  # else what is shown is years older than now
        options = replace(options, use_sim_time=True)
    return (*description_nodes(options), *_shown(options))


def _shown(options: GraphOptions, use: str = "robot") -> _Nodes:
    """Return RViz with the robot, its cameras and what is drawn of the session, if asked for."""
    if not options.launch_rviz:
        return ()
    return (marker_node(options), rviz_node(options, use))


def _has_description(options: GraphOptions) -> bool:
    """Tell whether what stands beside a robot says where its parts are: else that one does."""
    return options.launch_description and not options.below_control


def _without_control(options: GraphOptions) -> GraphOptions:
    """Return the options without ros2_control, where there can be none."""
    return replace(
        options,
        use_ros2_control=False,
        hardware_type="",
        use_mock_hardware=False,
        use_fake_hardware=False,
    )


def _robot(options: GraphOptions) -> Robot:
    """Return what several nodes share, once the options make sense."""
    check_robot(options)
    check_time(options)
    check_files(options)
    return Robot.of(options)
