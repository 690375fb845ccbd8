"""Parameters of the motion node."""

from dataclasses import dataclass

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class MotionParams:
    """How the arm is brought home, and how others' trajectories are followed."""

    speed: float = option(
        0.5, "share of the joints' velocity limits used by motions", range=(0.05, 1.0)
    )
    home: str = option("home", "pose that resets go to (poses.yaml)")
    check_collisions: bool = option(
        True, "go around what would be collided with; refuse others' trajectories that would"
    )
    seed: int = option(
        0, "seed of the ways around obstacles; each motion draws anew", range=(0, 1_000_000)
    )
    planner: str = option(
        "auto",
        "who plans the way home: MoveIt, this node's own planner, or (auto) MoveIt where it runs",
        choices=("auto", "moveit", "own"),
    )
    moveit_py: bool = option(
        False, "MoveIt plans in this process, by moveit_py, not in move_group's"
    )
    planning_time: float = option(
        2.0, "MoveIt has so long for each of three attempts [s]", range=(0.1, 30.0)
    )
    action: str = option(
        "auto",
        "offer FollowJointTrajectory (MoveIt and RViz execute by it): on needs the package "
        "control_msgs, auto offers it where that is installed",
        choices=("auto", "on", "off"),
    )
    start_tolerance: float = option(
        0.1,
        "a trajectory may begin so far from where the arm is commanded [rad]",
        range=(0.0, 1.0),
    )
    path_tolerance: float = option(
        0.3,
        "of a goal that names none: how far a joint may be off on the way [rad]; not the gripper",
        range=(0.01, 10.0),
    )
    goal_tolerance: float = option(
        0.1,
        "of a goal that names none: how far a joint may be off at the end [rad]; not the gripper",
        range=(0.001, 10.0),
    )
    goal_time: float = option(
        1.0, "of a goal that names none: time to get there after the end [s]", range=(0.0, 60.0)
    )
