"""Who plans the way home, and what becomes of a plan that took its time. Pure.

Every planner answers a callback: our own at once, MoveIt some seconds later, in which the arm may
have been moved or an episode begun.
"""

from dataclasses import dataclass

import numpy as np

from motion_node.judging import Judge
from so101.arrays import FloatArray
from so101.control.clearance import CollisionCheck
from so101.control.planning import Answer, Planner, PlanRequest
from so101.control.trajectory import JointTrajectory
from so101.control.trajectory_goal import GoalRefusedError
from so101.errors import MotionError
from so101.kinematics.planner import plan_motion
from so101.robot import RobotSpec


@dataclass(frozen=True, kw_only=True)
class OwnPlanner:
    """The straight joint line, or a way around what it would collide with.

    Attributes:
        spec: The arm.
        collision: Checks every point; None checks none.
        seed: Of the ways around obstacles.
        name: Who plans.
    """

    spec: RobotSpec
    collision: CollisionCheck | None
    seed: int
    name: str = "own planner"

    def is_there(self) -> bool:
        """Tell that it can always be asked."""
        return True

    def plan(self, request: PlanRequest, answer: Answer) -> None:
        """Plan, and answer before this returns."""
        try:
            plan = plan_motion(
                request.start,
                request.goal,
                self.spec,
                self.collision,
                rng=np.random.default_rng(self.seed),
                speed=request.speed,
                stamp_ns=request.stamp_ns,
            )
        except MotionError as error:
            answer(error)
            return
        answer(plan)


@dataclass(frozen=True, kw_only=True)
class Planners:
    """Who there is to ask.

    Attributes:
        choice: auto, moveit or own, as the parameter ``planner``.
        own: This project's.
        moveit: MoveIt's; None where it is not installed, or not wanted.
    """

    choice: str
    own: Planner
    moveit: Planner | None = None

    def choose(self) -> Planner:
        """Return who is asked now.

        Raises:
            MotionError: MoveIt has to plan, and does not run.
        """
        if self.moveit is not None and self.choice != "own" and self.moveit.is_there():
            return self.moveit
        if self.choice == "moveit":
            why = "move_group does not run" if self.moveit else "moveit_msgs is not installed"
            raise MotionError(
                f"planner: moveit: {why}; start moveit.launch.py, or take planner own"
            )
        return self.own


def fitted(
    plan: JointTrajectory, judge: Judge, command: FloatArray, now_ns: int, planner: str
) -> JointTrajectory:
    """Return another's plan as a motion that begins now, unless it does not fit the arm any more.

    Args:
        plan: With stamp 0.
        judge: Judges it like anybody's trajectory.
        command: The command in force [rad]. Shape (joints,).
        now_ns: The present stamp [ns].
        planner: Who made it, for the error.

    Raises:
        MotionError: It breaks a rule.
    """
    try:
        return judge.judge(plan, command, now_ns)
    except GoalRefusedError as error:
        raise MotionError(f"{planner}: its plan is not followed: {error}") from error
