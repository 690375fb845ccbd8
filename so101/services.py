"""Every service and action of the graph: name, type, meaning. Names are relative.

No ROS import.
"""

from dataclasses import dataclass

TRIGGER = "std_srvs/srv/Trigger"
SET_BOOL = "std_srvs/srv/SetBool"


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service: relative name, ROS type, meaning. Every refusal says why in ``message``."""

    name: str
    type: str
    doc: str


SERVICES = {
    service.name: service
    for service in (
        Service(name="episode/start", type=TRIGGER, doc="start an episode by hand"),
        Service(name="episode/success", type=TRIGGER, doc="end the episode as a success"),
        Service(name="episode/failure", type=TRIGGER, doc="end the episode as a failure"),
        Service(name="episode/discard", type=TRIGGER, doc="end the episode, never use it"),
        Service(name="episode/redo", type=TRIGGER, doc="discard the episode and run it again"),
        Service(name="arm/arm", type=SET_BOOL, doc="arm (true) or disarm (false, hold) the arm"),
        Service(name="arm/estop", type=SET_BOOL, doc="true stops and latches; false is refused"),
        Service(name="arm/torque", type=SET_BOOL, doc="servo torque; refused while in motion"),
        Service(name="arm/recover", type=TRIGGER, doc="the only way out of an e-stop or fault"),
        Service(name="intervention/take_over", type=TRIGGER, doc="teleop takes control"),
        Service(name="intervention/release", type=TRIGGER, doc="teleop gives control back"),
        Service(name="policy/enable", type=SET_BOOL, doc="let the policy act, or not"),
        Service(name="policy/reload", type=TRIGGER, doc="load the newest promoted checkpoint"),
        Service(name="learner/train", type=TRIGGER, doc="train on the episodes in the store"),
        Service(name="learner/rollback", type=TRIGGER, doc="go back to the previous checkpoint"),
        Service(name="learner/promote", type=TRIGGER, doc="promote the candidate"),
        Service(name="motion/home", type=TRIGGER, doc="move home, around what is in the way"),
        Service(name="session/pause", type=SET_BOOL, doc="pause or resume between episodes"),
    )
}


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action: relative name, ROS type, meaning. Their types come with a distribution only."""

    name: str
    type: str
    doc: str


FOLLOW_TRAJECTORY = Action(
    name="arm_controller/follow_joint_trajectory",
    type="control_msgs/action/FollowJointTrajectory",
    doc="follow a trajectory through the arbiter: what MoveIt and RViz execute by",
)
MOVE_GROUP = Action(
    name="move_action",
    type="moveit_msgs/action/MoveGroup",
    doc="MoveIt's: plans the way home where it runs",
)
ACTIONS = (FOLLOW_TRAJECTORY, MOVE_GROUP)
