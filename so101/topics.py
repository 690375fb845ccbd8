"""Every topic of the graph: name, type, delivery, meaning. Names are relative.

The one table that publishers, the recorder, bag readers and docs/interfaces.md share. No ROS
import, so that bags are read where ROS is absent. Camera topics are made by `image_topic`.
"""

from collections.abc import Collection
from dataclasses import dataclass

JOINT_STATE = "sensor_msgs/msg/JointState"
DIAGNOSTICS_TYPE = "diagnostic_msgs/msg/DiagnosticArray"
JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POSE_ARRAY = "geometry_msgs/msg/PoseArray"
STRING = "std_msgs/msg/String"
FLOAT64 = "std_msgs/msg/Float64"
HEADER = "std_msgs/msg/Header"
MARKER_ARRAY = "visualization_msgs/msg/MarkerArray"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic.

    Attributes:
        name: Relative name.
        type: ROS type name.
        doc: Meaning, one line.
        is_latched: Late subscribers get the last message (transient local).
        is_recorded: Part of every episode's bag.
        is_sensed: Of a device, whose driver may be somebody else's and offer best effort.
    """

    name: str
    type: str
    doc: str
    is_latched: bool = False
    is_recorded: bool = True
    is_sensed: bool = False


JOINT_STATES = Topic(
    name="joint_states",
    type=JOINT_STATE,
    is_sensed=True,
    doc="measured, 60 Hz on the tick grid",
)
JOINT_COMMANDS = Topic(
    name="joint_commands",
    type=JOINT_STATE,
    doc="the goal in force from this stamp, after filters and gate: the executed action",
)
ARM_STATE = Topic(
    name="arm/state",
    type=DIAGNOSTICS_TYPE,
    is_latched=True,
    doc="disarmed, armed, holding, estopped or fault, with reasons and limits hit",
)
ARM_TRAJECTORY = Topic(
    name="arm_controller/joint_trajectory",
    type=JOINT_TRAJECTORY,
    doc="what the controller follows",
)
ARM_STATES_RAW = Topic(
    name="arm/joint_states_raw",
    type=JOINT_STATE,
    is_recorded=False,
    doc="the readings of joint_states, for ros2_control's topic hardware",
)
ARM_SETPOINTS = Topic(
    name="arm/joint_setpoints",
    type=JOINT_STATE,
    is_recorded=False,
    doc="what ros2_control's controllers ask of the arm, before the gate",
)
CONTROLLER_TRAJECTORY = Topic(
    name="joint_trajectory_controller/joint_trajectory",
    type=JOINT_TRAJECTORY,
    is_recorded=False,
    doc="the rest of arm_controller/joint_trajectory from now on, for ros2_control's controller",
)
POLICY_TRAJECTORY = Topic(
    name="policy/joint_trajectory", type=JOINT_TRAJECTORY, doc="what the policy wants"
)
TELEOP_TRAJECTORY = Topic(
    name="teleop/joint_trajectory", type=JOINT_TRAJECTORY, doc="what the human or script wants"
)
MOTION_TRAJECTORY = Topic(
    name="motion/joint_trajectory", type=JOINT_TRAJECTORY, doc="home, reset and recovery motions"
)
_ALIVE = "20 Hz or more while it can act; the last one of its episode has the stamp of the end"
POLICY_ALIVE = Topic(name="policy/alive", type=HEADER, doc=_ALIVE)
TELEOP_ALIVE = Topic(name="teleop/alive", type=HEADER, doc=_ALIVE)
MOTION_ALIVE = Topic(name="motion/alive", type=HEADER, doc="20 Hz or more while it can act")
CONTROL_SOURCE = Topic(
    name="control_source",
    type=DIAGNOSTICS_TYPE,
    is_latched=True,
    doc="who is in control from this stamp on, with device and reason",
)
OBJECTS = Topic(name="simulation/objects", type=POSE_ARRAY, doc="object poses, simulation only")
TASK = Topic(name="task", type=STRING, is_latched=True, doc="the language instruction")
EPISODE = Topic(
    name="episode", type=DIAGNOSTICS_TYPE, is_latched=True, doc="episode id, state and facts"
)
LABEL = Topic(
    name="label", type=DIAGNOSTICS_TYPE, doc="outcome or advantage of an episode, live or late"
)
REWARD = Topic(
    name="reward",
    type=DIAGNOSTICS_TYPE,
    doc="per policy tick: reward, success probability, terminated",
)
REWARD_VALUE = Topic(
    name="reward/value", type=FLOAT64, is_recorded=False, doc="reward, for plots only"
)
POLICY_INFO = Topic(
    name="policy/info",
    type=DIAGNOSTICS_TYPE,
    doc="per chunk, keyed by observation stamp: checkpoint, inference time, ages, native action",
)
POLICY_CHECKPOINT = Topic(
    name="policy/checkpoint",
    type=DIAGNOSTICS_TYPE,
    is_latched=True,
    doc="path, sha256 and role: candidate, live or promoted",
)
LEARNER_STATUS = Topic(
    name="learner/status",
    type=DIAGNOSTICS_TYPE,
    is_latched=True,
    is_recorded=False,
    doc="1 Hz: phase, step, losses, gate verdict",
)
LEARNER_REQUEST = Topic(
    name="learner/request",
    type=DIAGNOSTICS_TYPE,
    is_latched=True,
    is_recorded=False,
    doc="a group to learn from, the policy that acted in it, how fast it may have been played",
)
SESSION_STATUS = Topic(
    name="session/status",
    type=DIAGNOSTICS_TYPE,
    is_latched=True,
    is_recorded=False,
    doc="what the session has been waiting for unusually long, and for how long",
)
RECORDER_STATUS = Topic(
    name="recorder/status",
    type=DIAGNOSTICS_TYPE,
    is_latched=True,
    is_recorded=False,
    doc="episode id, saved or lost, path, steps, messages lost; the session waits for it",
)
JOY = Topic(name="joy", type="sensor_msgs/msg/Joy", is_sensed=True, doc="gamepad")
DIAGNOSTICS = Topic(
    name="diagnostics", type=DIAGNOSTICS_TYPE, is_recorded=False, doc="health of every node, 1 Hz"
)
ROBOT_DESCRIPTION = Topic(name="robot_description", type=STRING, is_latched=True, doc="the URDF")
MARKERS = Topic(
    name="visualization_marker_array",
    type=MARKER_ARRAY,
    is_recorded=False,
    doc="for RViz: the gripper's way in the colours of who was in control, the plan, the episode",
)
CLOCK = Topic(
    name="/clock", type="rosgraph_msgs/msg/Clock", is_recorded=False, doc="simulated time"
)

TOPICS = (
    JOINT_STATES,
    JOINT_COMMANDS,
    ARM_STATE,
    ARM_TRAJECTORY,
    ARM_STATES_RAW,
    ARM_SETPOINTS,
    CONTROLLER_TRAJECTORY,
    POLICY_TRAJECTORY,
    TELEOP_TRAJECTORY,
    MOTION_TRAJECTORY,
    POLICY_ALIVE,
    TELEOP_ALIVE,
    MOTION_ALIVE,
    CONTROL_SOURCE,
    OBJECTS,
    TASK,
    EPISODE,
    LABEL,
    REWARD,
    REWARD_VALUE,
    POLICY_INFO,
    POLICY_CHECKPOINT,
    LEARNER_STATUS,
    LEARNER_REQUEST,
    SESSION_STATUS,
    RECORDER_STATUS,
    JOY,
    DIAGNOSTICS,
    ROBOT_DESCRIPTION,
    MARKERS,
    CLOCK,
)


def image_topic(camera: str) -> Topic:
    """Return the JPEG topic of a camera."""
    return Topic(
        name=f"{camera}_camera/image_raw/compressed",
        type=COMPRESSED_IMAGE,
        is_sensed=True,
        doc=f"JPEG frames of the {camera} camera, 30 Hz",
    )


def raw_image_topic(camera: str) -> Topic:
    """Return the topic of a camera's frames as they are, published on request."""
    return Topic(
        name=f"{camera}_camera/image_raw",
        type=IMAGE,
        is_sensed=True,
        doc=f"RGB frames of the {camera} camera",
    )


def camera_info_topic(camera: str) -> Topic:
    """Return the calibration topic of a camera."""
    return Topic(
        name=f"{camera}_camera/camera_info",
        type=CAMERA_INFO,
        is_sensed=True,
        doc=f"calibration of {camera}",
    )


def aux_topic(name: str) -> Topic:
    """Return the topic of an auxiliary array that an algorithm asked the policy to record."""
    return Topic(name=f"policy/aux/{name}", type=IMAGE, doc=f"{name}, 32FC1, per chunk")


IMAGE_KINDS = {
    "compressed": (image_topic,),
    "raw": (raw_image_topic,),
    "both": (image_topic, raw_image_topic),
}
"""How frames are recorded, and the topics of a camera that this means."""


def recorded_topics(
    cameras: tuple[str, ...], aux: tuple[str, ...] = (), images: str = "compressed"
) -> tuple[Topic, ...]:
    """Return every topic of an episode's bag.

    Args:
        cameras: Camera ids.
        aux: Arrays of the policy.
        images: A key of `IMAGE_KINDS`.
    """
    makers = (*IMAGE_KINDS[images], camera_info_topic)
    seen = [make(camera) for camera in cameras for make in makers]
    arrays = [aux_topic(name) for name in aux]
    return (*(topic for topic in TOPICS if topic.is_recorded), *seen, *arrays)


def robot_prefixes(topics: Collection[str]) -> tuple[str, ...]:
    """Return what stands in front of the relative names of each robot among absolute names.

    Of several with joint states, those that are commanded, where there are any: a broadcaster,
    sliders or a leader arm have joint states, too.
    """
    ending = f"/{JOINT_STATES.name}"
    found = [t.removesuffix(JOINT_STATES.name) for t in topics if f"/{t}".endswith(ending)]
    commanded = [prefix for prefix in found if prefix + JOINT_COMMANDS.name in topics]
    return tuple(commanded if len(found) > 1 and commanded else found)
