"""Nodes of other packages that a graph starts: RViz, transforms, controllers, MoveIt, the player.

Only a ROS distribution has them, so only launch runs them. They take their parameters by value,
never by a person's file: that has sections for our nodes only.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from so101.config import load_yaml
from so101.errors import ConfigError
from so101_bringup.diagnostic_groups import AGGREGATOR, diagnostic_parameters
from so101_bringup.graph_options import GraphOptions
from so101_bringup.node_makers import calibration_of
from so101_bringup.node_spec import NodeSpec, ParameterValue, flat
from so101_bringup.paths import config_path
from so101_bringup.placing import base_arguments
from so101_bringup.rviz_files import rviz_file

RAW_STATES = "arm/joint_states_raw"
"""What our driver measures, for ros2_control's topic hardware."""

BROADCAST_STATES = "joint_state_broadcaster/joint_states"
"""The same from ros2_control in topic mode: with the system's time, which MoveIt and RViz want."""

SLIDER_STATES = "sliders/joint_states"
"""What sliders say: never the robot's own topic, where somebody would believe it."""

_OWN_TREE = (("/tf", "tf"), ("/tf_static", "tf_static"))
_SUMMED_UP = ("diagnostics", "diagnostics_agg", "diagnostics_toplevel_state")
_PLANNERS = ("ompl", "pilz_industrial_motion_planner")

MOVEIT_FILES = {
    "kinematics": "robot_description_kinematics.",
    "joint_limits": "robot_description_planning.",
    "pilz_cartesian_limits": "robot_description_planning.",
    "ompl_planning": "ompl.",
    "pilz_industrial_motion_planner_planning": "pilz_industrial_motion_planner.",
}
"""MoveIt's files in ``config``, and what move_group has in front of the names in them."""


def description_nodes(
    options: GraphOptions, *, is_controlled: bool = False, has_sliders: bool = False
) -> tuple[NodeSpec, ...]:
    """Return who says where every part of the robot is.

    Args:
        options: What was chosen.
        is_controlled: The URDF says what is below ros2_control, where that was chosen.
        has_sliders: Joint states are those of sliders, where these were chosen.
    """
    below = options.below_control if is_controlled else ""
    values: dict[str, ParameterValue] = {"robot_description": robot_urdf(options, below)}
    if options.frame_prefix:
        values["frame_prefix"] = options.frame_prefix
    remappings = (*_tree(options), *_states(options))
    sliders: tuple[NodeSpec, ...] = ()
    if options.gui and has_sliders:
        remappings = (*_tree(options), ("joint_states", SLIDER_STATES))
        gui = "joint_state_publisher_gui"
        sliders = (foreign_node(options, gui, remappings=(("joint_states", SLIDER_STATES),)),)
    publisher = foreign_node(options, "robot_state_publisher", values, remappings=remappings)
    return (publisher, *sliders, *_place(options))


def rviz_node(options: GraphOptions, use: str, **more: Any) -> NodeSpec:
    """Return RViz.

    Args:
        options: What was chosen.
        use: Name of the shipped file in ``rviz``, without its suffix.
        **more: Of the `NodeSpec`.
    """
    own = options.rviz_config_file
    path = existing_path("rviz_config_file", own) if own else rviz_file(use, options.frame_prefix)
    return foreign_node(
        options, "rviz2", arguments=("-d", str(path)), remappings=_tree(options), **more
    )


def diagnostics_node(options: GraphOptions, nodes: Collection[str]) -> NodeSpec:
    """Return who sums up what the nodes of these names say of their health.

    Its topics are absolute; those of a namespace have its own.
    """
    return foreign_node(
        options,
        "diagnostic_aggregator",
        diagnostic_parameters(nodes),
        executable="aggregator_node",
        name=AGGREGATOR,
        remappings=tuple((f"/{topic}", topic) for topic in _SUMMED_UP),
    )


def joy_node(options: GraphOptions) -> NodeSpec:
    """Return ROS's reader of gamepads; its repetitions tell that the gamepad is alive."""
    values: dict[str, ParameterValue] = {"deadzone": 0.05, "autorepeat_rate": 20.0}
    return foreign_node(options, "joy", values, executable="joy_node", respawn=True)


def control_nodes(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return ros2_control: who runs the controllers, and who starts them.

    The controllers start when there is something to control: the first joint states of our driver,
    or else the controller manager, for which a spawner waits by itself.
    """
    files = _controllers(options)
    spawner = foreign_node(
        options,
        "controller_manager",
        executable="spawner",
        names_itself=True,
        arguments=(
            *options.controllers,
            "--controller-manager",
            "controller_manager",
            *(word for file in files for word in ("--param-file", file)),
        ),
        ends_itself=True,
        after=RAW_STATES if options.below_control == "topic" else "",
    )
    return (*_managers(options, files), spawner)


def move_group_node(options: GraphOptions) -> NodeSpec:
    """Return MoveIt's node, with its files in ``config`` as its parameters.

    What it plans goes to motion_node, or to ros2_control where none of our nodes are.
    """
    is_ours = options.below_control in ("", "topic")
    execution = "moveit_controllers" if is_ours else "moveit_ros2_control"
    files = {**MOVEIT_FILES, execution: ""}
    values: dict[str, ParameterValue] = {
        "robot_description": robot_urdf(options, ""),
        "robot_description_semantic": robot_semantics(options),
        "publish_robot_description_semantic": True,
        "planning_pipelines": _PLANNERS,
        "default_planning_pipeline": _PLANNERS[0],
        **{key: value for pair in files.items() for key, value in _moveit(*pair)},
    }
    return foreign_node(
        options,
        "moveit_ros_move_group",
        values,
        executable="move_group",
        names_itself=True,
        remappings=(*_tree(options), *_states(options)),
        is_essential=True,
    )


def robot_urdf(options: GraphOptions, below: str) -> str:
    """Return the robot's URDF.

    Args:
        options: What was chosen.
        below: What is below ros2_control; empty for a URDF without that part.
    """
    from so101.kinematics.urdf import robot_description  # xacro: only who needs it pays

    arguments = {"hardware_type": below} if below else {}
    if below == "feetech":
        calibration = Path(calibration_of(options)).expanduser().absolute()
        arguments |= {"usb_port": options.usb_port, "calibration": str(calibration)}
    if below == "gazebo":
        arguments |= {"controllers_file": _controllers(options)[0]}
    return robot_description(options.prefix, **arguments)


def robot_semantics(options: GraphOptions) -> str:
    """Return the robot's SRDF: groups, named poses and allowed collisions."""
    from so101.kinematics.urdf import semantic_description

    return semantic_description(options.prefix)


def _managers(options: GraphOptions, controllers: tuple[str, ...]) -> tuple[NodeSpec, ...]:
    """Return the process that the controllers run in; Gazebo has them in its own."""
    if options.below_control == "gazebo":
        clock = "/clock@rosgraph_msgs/msg/Clock[gz.msgs.Clock"
        return (
            foreign_node(
                options,
                "ros_gz_sim",
                executable="create",
                name="create",
                arguments=("-topic", "robot_description", "-name", "so101"),
                ends_itself=True,
            ),
            foreign_node(
                options,
                "ros_gz_bridge",
                executable="parameter_bridge",
                name="clock_bridge",
                arguments=(clock,),
            ),
        )
    package = "mujoco_ros2_control" if options.below_control == "mujoco" else "controller_manager"
    return (
        foreign_node(
            options,
            package,
            executable="ros2_control_node",
            names_itself=True,
            remappings=(("~/robot_description", "robot_description"),),
            own_files=controllers,
            is_essential=True,
        ),
    )


def _controllers(options: GraphOptions) -> tuple[str, ...]:
    """Return the paths of the controllers' parameters, the later ones on top."""
    own = options.controllers_file
    paths = [existing_path("controllers_file", own) if own else config_path("controllers.yaml")]
    if options.below_control == "topic":
        paths.append(config_path("controllers_topic.yaml"))
    return tuple(map(str, paths))


def _states(options: GraphOptions) -> tuple[tuple[str, str], ...]:
    """Return the remappings to the joint states that have the system's time."""
    return (("joint_states", BROADCAST_STATES),) if options.below_control == "topic" else ()


def _place(options: GraphOptions) -> tuple[NodeSpec, ...]:
    """Return who places the arm's own world in the common one, where frames have a prefix."""
    if not options.frame_prefix:
        return ()
    return (
        foreign_node(
            options,
            "tf2_ros",
            executable="static_transform_publisher",
            name="base_publisher",
            arguments=base_arguments(options.base, options.frame_prefix),
        ),
    )


def _tree(options: GraphOptions) -> tuple[tuple[str, str], ...]:
    """Return the remappings that give a namespace a tree of transforms of its own.

    ROS's name of it is absolute: two arms without prefixes would be in each other's.
    """
    return _OWN_TREE if options.namespace and not options.frame_prefix else ()


def foreign_node(
    options: GraphOptions,
    package: str,
    parameters: Mapping[str, ParameterValue] | None = None,
    **more: Any,
) -> NodeSpec:
    """Return a node of another package; named like its executable, which is named like it.

    Args:
        options: What was chosen.
        package: The package.
        parameters: Its parameters.
        **more: Of the `NodeSpec`.
    """
    values = dict(parameters or {})
    is_timed = options.use_sim_time or options.simulates_below_control
    if is_timed and not more.get("ends_itself"):
        values["use_sim_time"] = True
    executable = more.pop("executable", package)
    return NodeSpec(
        **{
            "package": package,
            "executable": executable,
            "name": executable,
            "namespace": options.namespace,
            "parameters": values,
            "is_essential": False,
            **more,
        }
    )


def existing_path(option: str, text: str) -> Path:
    """Return the path that an option names.

    Raises:
        ConfigError: There is nothing.
    """
    if not (path := Path(text).expanduser().absolute()).exists():
        raise ConfigError(f"{option}: {path} does not exist")
    return path


def _moveit(name: str, prefix: str) -> Iterator[tuple[str, ParameterValue]]:
    """Yield the parameters of one of MoveIt's files."""
    yield from flat(load_yaml(config_path(f"{name}.yaml")), prefix)
