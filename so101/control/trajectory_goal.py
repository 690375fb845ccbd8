"""A goal of control_msgs/action/FollowJointTrajectory and what comes of it, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from so101.arrays import FloatArray
from so101.control.trajectory import JointTrajectory
from so101.errors import TrajectoryError


class GoalCode(IntEnum):
    """The action's ``error_code``."""

    SUCCESSFUL = 0
    INVALID_GOAL = -1
    INVALID_JOINTS = -2
    OLD_HEADER_TIMESTAMP = -3
    PATH_TOLERANCE_VIOLATED = -4
    GOAL_TOLERANCE_VIOLATED = -5


class Ending(Enum):
    """How the action tells that a goal is over."""

    SUCCEEDED = "succeeded"
    ABORTED = "aborted"
    CANCELED = "canceled"


@dataclass(frozen=True, kw_only=True)
class TrajectoryGoal:
    """What a client asks for.

    Attributes:
        trajectory: With the joints that it names, in its order; not yet validated.
        path: How far each joint may be off on the way [rad]. As in the message, 0 (or a joint that
            is not named) means the server's default, below 0 no limit.
        goal: The same of the end [rad].
        goal_time_ns: Time for the joints to get there after the end [ns], 0 and below alike.
    """

    trajectory: JointTrajectory
    path: Mapping[str, float] = field(default_factory=dict)
    goal: Mapping[str, float] = field(default_factory=dict)
    goal_time_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a goal is on its way; all arrays have the shape (joints,).

    Attributes:
        stamp_ns: Of the measurement [ns].
        elapsed_ns: Since the trajectory's start [ns].
        desired: Where the joints should be [rad].
        actual: Where they are [rad].
        velocities: How fast they are [rad/s].
    """

    stamp_ns: int
    elapsed_ns: int
    desired: FloatArray
    actual: FloatArray
    velocities: FloatArray


@dataclass(frozen=True, kw_only=True)
class GoalResult:
    """What became of a goal.

    Attributes:
        ending: As which it is told.
        code: The error code.
        words: Why, for a person; empty after a success.
    """

    ending: Ending
    code: GoalCode = GoalCode.SUCCESSFUL
    words: str = ""


class GoalRefusedError(TrajectoryError):
    """A goal breaks a rule and is not begun.

    Attributes:
        code: The action's error code.
    """

    def __init__(self, words: str, code: GoalCode = GoalCode.INVALID_GOAL) -> None:
        """Refuse in these words."""
        super().__init__(words)
        self.code = code
