"""What the programs of a distribution that our graphs start know: executables, parameters, topics.

Names and types from their sources as of Jazzy and Kilted (read in August 2026), our words. A name
that is not here is ignored there in silence, or ends the program.
"""

from dataclasses import dataclass, field

from ros2_parameters import TEXTS

from so101.robot import CAMERAS
from so101.topics import recorded_topics

ANY = "<any>"
"""Parameters of this program are files of their own, with a schema in `ros2_parameters`."""


@dataclass(frozen=True)
class Program:
    """A program.

    Attributes:
        parameters: Name to type; `ANY` for whatever else.
        topics: What it listens to and says, by the name that a remapping replaces.
        flags: Word of its command line to what stands behind it: a file, topic, frame, node,
            number or name.
        words: What its other words are: controllers, or bridges between ROS and Gazebo.
    """

    parameters: dict[str, type | str] = field(default_factory=dict)
    topics: frozenset[str] = frozenset()
    flags: dict[str, str] = field(default_factory=dict)
    words: str = ""


_TF = frozenset({"/tf", "/tf_static"})

PROGRAMS = {
    ("robot_state_publisher", "robot_state_publisher"): Program(
        {
            "robot_description": str,
            "publish_frequency": float,
            "frame_prefix": str,
            "ignore_timestamp": bool,
        },
        topics=_TF | {"joint_states", "robot_description"},
    ),
    ("joint_state_publisher_gui", "joint_state_publisher_gui"): Program(
        {
            "robot_description": str,
            "rate": int,
            "publish_default_positions": bool,
            "publish_default_velocities": bool,
            "publish_default_efforts": bool,
            "use_mimic_tags": bool,
            "use_smallest_joint_limits": bool,
            "source_list": TEXTS,
            "delta": float,
        },
        topics=frozenset({"joint_states", "robot_description"}),
    ),
    ("tf2_ros", "static_transform_publisher"): Program(
        topics=_TF,
        flags={
            **dict.fromkeys(
                (
                    "--x",
                    "--y",
                    "--z",
                    "--qx",
                    "--qy",
                    "--qz",
                    "--qw",
                    "--roll",
                    "--pitch",
                    "--yaw",
                ),
                "number",
            ),
            "--frame-id": "frame",
            "--child-frame-id": "frame",
        },
    ),
    ("rviz2", "rviz2"): Program({ANY: ANY}, topics=_TF, flags={"-d": "file"}),
    ("joy", "joy_node"): Program(
        {
            "device_id": int,
            "device_name": str,
            "deadzone": float,
            "autorepeat_rate": float,
            "sticky_buttons": bool,
            "coalesce_interval_ms": int,
        },
        topics=frozenset({"joy"}),
    ),
    ("rosbag2_transport", "player"): Program(
        {
            "storage.uri": str,
            "storage.storage_id": str,
            "storage.storage_config_uri": str,
            "play.rate": float,
            "play.loop": bool,
            "play.start_paused": bool,
            "play.start_offset": float,
            "play.delay": float,
            "play.playback_duration": float,
            "play.clock_publish_frequency": float,
            "play.clock_publish_on_topic_publish": bool,
            "play.clock_trigger_topics": TEXTS,
            "play.disable_keyboard_controls": bool,
            "play.read_ahead_queue_size": int,
            "play.node_prefix": str,
            "play.topics_to_filter": TEXTS,
            "play.exclude_topics_to_filter": TEXTS,
            "play.topic_remapping_options": TEXTS,
            "play.qos_profile_overrides_path": str,
            "play.wait_acked_timeout": int,
        },
        topics=frozenset({"/clock", *(f"/{topic.name}" for topic in recorded_topics(CAMERAS))}),
    ),
    ("controller_manager", "ros2_control_node"): Program(
        {ANY: ANY}, topics=frozenset({"~/robot_description", "joint_states"})
    ),
    ("mujoco_ros2_control", "ros2_control_node"): Program(
        {ANY: ANY}, topics=frozenset({"~/robot_description", "joint_states", "/clock"})
    ),
    ("controller_manager", "spawner"): Program(
        flags={"--controller-manager": "node", "--param-file": "file", "-p": "file", "-c": "node"},
        words="controllers",
    ),
    ("moveit_ros_move_group", "move_group"): Program(
        {
            ANY: ANY,  # of MoveIt's files
            "robot_description": str,
            "robot_description_semantic": str,
            "publish_robot_description": bool,
            "publish_robot_description_semantic": bool,
            "planning_pipelines": TEXTS,
            "default_planning_pipeline": str,
            "capabilities": str,
            "disable_capabilities": str,
            "monitor_dynamics": bool,
            "allow_trajectory_execution": bool,
            "publish_planning_scene": bool,
            "publish_geometry_updates": bool,
            "publish_state_updates": bool,
            "publish_transforms_updates": bool,
        },
        topics=_TF
        | {
            "joint_states",
            "robot_description",
            "robot_description_semantic",
            "planning_scene",
            "monitored_planning_scene",
            "planning_scene_world",
            "collision_object",
            "attached_collision_object",
            "display_planned_path",
            "trajectory_execution_event",
        },
    ),
    ("ros_gz_sim", "create"): Program(
        {
            "world": str,
            "file": str,
            "string": str,
            "topic": str,
            "name": str,
            "allow_renaming": bool,
        },
        topics=frozenset({"robot_description"}),
        flags={
            "-topic": "topic",
            "-name": "name",
            "-world": "name",
            **dict.fromkeys(("-x", "-y", "-z", "-R", "-P", "-Y"), "number"),
        },
    ),
    ("ros_gz_bridge", "parameter_bridge"): Program(
        {"config_file": str, "lazy": bool, "expand_gz_topic_names": bool}, words="bridges"
    ),
    ("diagnostic_aggregator", "aggregator_node"): Program(
        {ANY: ANY},
        topics=frozenset({"/diagnostics", "/diagnostics_agg", "/diagnostics_toplevel_state"}),
    ),
}
"""By package and executable."""

MOVEIT_TOPICS = {
    *PROGRAMS["moveit_ros_move_group", "move_group"].topics,
    *("planning_scene_monitor", "publish_planning_scene"),
}

QOS = {
    "Depth": int,
    "Filter size": int,
    "History Policy": ("Keep Last", "Keep All", "System Default"),
    "Reliability Policy": ("Reliable", "Best Effort", "System Default"),
    "Durability Policy": ("Volatile", "Transient Local", "System Default"),
}
"""What RViz reads below a topic, beside its name."""

_OF_ALL = {"Class", "Name", "Enabled", "Value"}
_TOPIC = _OF_ALL | {"Topic"}
_LINES = {"Alpha", "Color", "Line Style", "Line Width", "Offset"}
_ARROWS = {"Head Length", "Head Diameter", "Head Radius", "Shaft Length", "Shaft Diameter"}
_AXES = {"Axes Length", "Axes Radius", "Arrow Length", "Shaft Radius", "Shape"}
_IMAGE = _TOPIC | {"Max Value", "Median window", "Min Value", "Normalize Range"}

RVIZ_DISPLAYS = {
    "rviz_common/Group": _OF_ALL | {"Displays"},
    "rviz_default_plugins/Axes": _OF_ALL
    | {"Length", "Radius", "Reference Frame", "Show Trail", "Alpha"},
    "rviz_default_plugins/Camera": _IMAGE
    | {"Far Plane Distance", "Image Rendering", "Overlay Alpha", "Zoom Factor", "Visibility"},
    "rviz_default_plugins/CameraInfo": _TOPIC
    | {"Alpha", "Color", "Edge color", "Far clip", "Polygon Alpha", "Show edges"},
    "rviz_default_plugins/Grid": _OF_ALL
    | {"Alpha", "Cell Size", "Color", "Line Style", "Normal Cell Count", "Offset"}
    | {"Plane", "Plane Cell Count", "Reference Frame"},
    "rviz_default_plugins/Image": _IMAGE,
    "rviz_default_plugins/InteractiveMarkers": _OF_ALL
    | {"Interactive Markers Namespace", "Show Axes", "Show Descriptions", "Show Visual Aids"},
    "rviz_default_plugins/Marker": _TOPIC | {"Namespaces"},
    "rviz_default_plugins/MarkerArray": _TOPIC | {"Namespaces"},
    "rviz_default_plugins/Path": _TOPIC
    | _LINES
    | _ARROWS
    | {"Buffer Length", "Length", "Radius", "Pose Color", "Pose Style"},
    "rviz_default_plugins/PoseArray": _TOPIC | _ARROWS | _AXES | {"Alpha", "Color"},
    "rviz_default_plugins/RobotModel": _OF_ALL
    | {"Alpha", "Collision Enabled", "Description File", "Description Source", "Links"}
    | {"Description Topic", "Mass Properties", "TF Prefix", "Update Interval", "Visual Enabled"},
    "rviz_default_plugins/TF": _OF_ALL
    | {"Filter (blacklist)", "Filter (whitelist)", "Frame Timeout", "Frames", "Marker Scale"}
    | {"Show Arrows", "Show Axes", "Show Names", "Tree", "Update Interval"},
    "moveit_rviz_plugin/MotionPlanning": _OF_ALL
    | {"Move Group Namespace", "Robot Description", "Planning Scene Topic", "Scene Geometry"}
    | {"Scene Robot", "Planned Path", "Planning Metrics", "Planning Request"}
    | {"Show Workspace", "TextHeight", "Acceleration_Scaling_Factor"}
    | {"Velocity_Scaling_Factor", "JointsTab_Use_Radians", "MoveIt_Allow_Approximate_IK"}
    | {
        "MoveIt_Allow_External_Program",
        "MoveIt_Allow_Replanning",
        "MoveIt_Allow_Sensor_Positioning",
    }
    | {"MoveIt_Planning_Attempts"}
    | {"MoveIt_Planning_Time", "MoveIt_Use_Cartesian_Path"}
    | {"MoveIt_Use_Constraint_Aware_IK", "MoveIt_Workspace"},
}
"""Class of a display to the names in its section."""

RVIZ_PANELS = {
    "rviz_common/Displays",
    "rviz_common/Views",
    "rviz_common/Selection",
    "rviz_common/Time",
    "rviz_common/Tool Properties",
    "rviz_common/Help",
}
RVIZ_TOOLS = {
    f"rviz_default_plugins/{name}"
    for name in (
        *("MoveCamera", "Select", "FocusCamera", "Measure", "Interact", "PublishPoint"),
        *("SetGoal", "SetInitialPose"),
    )
}
RVIZ_VIEWS = {
    f"rviz_default_plugins/{name}"
    for name in ("Orbit", "XYOrbit", "TopDownOrtho", "ThirdPersonFollower", "FPS")
}
