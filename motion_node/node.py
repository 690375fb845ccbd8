"""Motion node: brings the arm home, and carries out the trajectories that others plan.

Home it goes before every episode and when asked, along the straight joint line from the command in
force or around what it would collide with, or as MoveIt plans it where that runs. Where
control_msgs is installed it offers FollowJointTrajectory, by which MoveIt and RViz execute. It
commands nothing itself: every motion passes the arbiter and the gate like everybody's.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node

from motion_node.goal_keeper import GoalKeeper
from motion_node.homing import Homing
from motion_node.judging import Judge
from motion_node.params import MotionParams
from motion_node.planning import OwnPlanner, Planners
from motion_node.scene import SceneResets
from so101.clock import nanoseconds
from so101.control.arm_mode import mode_named
from so101.control.planning import Planner
from so101.control.trajectory import JointTrajectory
from so101.control.trajectory_goal import GoalResult, Progress, TrajectoryGoal
from so101.episode import EpisodeState
from so101.errors import ConfigError, MotionError
from so101.events import OK, WARN, ControlEvent, EpisodeEvent, Event, from_message
from so101.kinematics.collision import CollisionModel
from so101.kinematics.planner import check_way
from so101.robot import so101
from so101.ros.convert import from_joint_command, from_joint_state, to_event, to_header
from so101.ros.endpoints import Endpoints
from so101.ros.follow_action import FollowServer
from so101.ros.health import Health
from so101.ros.move_group import MoveGroupClient
from so101.ros.moveit_py_planner import MoveItPyPlanner
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.timing import now_ns, repeat, repeat_steadily
from so101.services import FOLLOW_TRAJECTORY
from so101.topics import (
    ARM_STATE,
    ARM_TRAJECTORY,
    CONTROL_SOURCE,
    DIAGNOSTICS,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    MOTION_ALIVE,
    MOTION_TRAJECTORY,
)

ALIVE_PERIOD_S = 0.03
LOOK_PERIOD_S = 0.1
REPORT_PERIOD_S = 1.0


class MotionNode(Node):
    """Goes home, and follows others' trajectories."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and create the interfaces."""
        super().__init__("motion_node", **kwargs)
        self._params = declare(self, MotionParams)
        spec, params = so101(), self._params
        collision = CollisionModel() if params.check_collisions else None
        look = partial(check_way, collision=collision) if collision else None
        judge = Judge(spec=spec, start_rad=params.start_tolerance, check_way=look)
        own = OwnPlanner(spec=spec, collision=collision, seed=params.seed)
        self._planners = Planners(choice=params.planner, own=own, moveit=self._moveit(spec.joints))
        self._homing = Homing(
            spec.poses[params.home], params.speed, self._planners, judge, self._send_home
        )
        self._keeper = GoalKeeper(params, spec, judge, self._send)
        self._resets = SceneResets()
        self._episode: EpisodeEvent | None = None
        self._ends_ns: int | None = None
        self._last = ""
        self._endpoints = Endpoints(self)
        self._endpoints.offer(MOTION_TRAJECTORY, MOTION_ALIVE)
        self._endpoints.listen(JOINT_COMMANDS, self._on_command)
        self._endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        self._endpoints.trigger("motion/home", self._on_home)
        self._no_action = self._offer_action(spec.joints)
        Health(self, self._endpoints)
        repeat(self, ALIVE_PERIOD_S, self._on_alive)
        repeat(self, REPORT_PERIOD_S, self._report)

    def _moveit(self, joints: tuple[str, ...]) -> Planner | None:
        """Return MoveIt's planner; where it is not installed only `planner: moveit` minds."""
        params = self._params
        if params.planner == "own":
            return None
        try:
            if params.moveit_py:
                return MoveItPyPlanner(self, joints)
            return MoveGroupClient(self, joints, params.planning_time)
        except ConfigError:
            if params.planner == "moveit" or params.moveit_py:
                raise
            return None

    def _offer_action(self, joints: tuple[str, ...]) -> str:
        """Offer FollowJointTrajectory where that is wanted and possible; return why not."""
        if self._params.action == "off":
            return "action: off"
        try:
            self._server = FollowServer(self, self, joints)
        except ConfigError as error:
            if self._params.action == "on":
                raise
            self.get_logger().info(f"no action: {error}")
            return str(error)
        self._endpoints.listen(JOINT_STATES, self._on_state)
        self._endpoints.listen(ARM_STATE, self._on_arm_state)
        self._endpoints.hear(CONTROL_SOURCE, ControlEvent, self._keeper.on_control)
        self._endpoints.follow(ARM_TRAJECTORY, self._keeper.on_passed)
        repeat_steadily(self, LOOK_PERIOD_S, lambda: self._keeper.tick(time.monotonic_ns()))
        return ""

    def begin(
        self,
        goal: TrajectoryGoal,
        report: Callable[[Progress], None],
        done: Callable[[GoalResult], None],
    ) -> None:
        """Begin a client's goal."""

        def finish(result: GoalResult) -> None:
            if result.words:
                self.get_logger().warning(f"{FOLLOW_TRAJECTORY.name}: {result.words}")
            done(result)

        self._keeper.begin(goal, report, finish, time.monotonic_ns())

    def cancel(self) -> None:
        """End the client's goal early."""
        self._keeper.cancel()

    def _on_command(self, message: Any) -> None:
        stamp_ns, command = from_joint_command(message)
        self._resets.on_stamp(stamp_ns)
        self._homing.on_command(stamp_ns, command)
        self._keeper.on_command(stamp_ns, command)

    def _on_state(self, message: Any) -> None:
        if self._keeper.is_busy:
            self._keeper.on_state(*from_joint_state(message), time.monotonic_ns())

    def _on_arm_state(self, message: Any) -> None:
        event = from_message(message)
        self._keeper.on_arm(mode_named(event.message), event.values.get("reason", ""))

    def _on_episode(self, event: EpisodeEvent) -> None:
        self._episode = event
        self._keeper.on_episode(event)
        if event.state is not EpisodeState.RESETTING or not self._homing.has_command:
            return  # an arm that was not commanded yet stands where it was put
        if not self._resets.is_done(event.stamp_ns):
            self._homing.go(self._say, self._objection(event.stamp_ns))

    def _on_home(self) -> str:
        """Answer at once; what comes of a plan that takes its time is in log and diagnostics."""
        told: list[str | MotionError] = []

        def tell(outcome: str | MotionError) -> None:
            self._say(outcome)
            told.append(outcome)

        self._homing.go(tell, self._objection())
        if not told:
            return f"{self._homing.planner} was asked for the way home"
        if isinstance(told[0], MotionError):
            raise told[0]
        return told[0]

    def _say(self, outcome: str | MotionError) -> None:
        self._last = str(outcome)
        if isinstance(outcome, MotionError):
            self.get_logger().error(f"cannot bring the arm home: {outcome}")
        else:
            self.get_logger().info(outcome)

    def _objection(self, reset_ns: int | None = None) -> Callable[[], str]:
        """Return what tells why a plan that took its time must not be followed any more."""
        asked_in = self._episode

        def objection() -> str:
            if reset_ns is not None and self._resets.is_done(reset_ns):
                return "the scene was reset meanwhile"
            event = self._episode
            if event is None or event is asked_in:
                return ""
            if event.state is EpisodeState.RUNNING:
                return f"episode {event.facts.id} has begun meanwhile"
            return ""

        return objection

    def _send_home(self, motion: JointTrajectory) -> None:
        self._send(motion)
        self._keeper.give_way("the arm goes home")

    def _send(self, motion: JointTrajectory) -> None:
        self._ends_ns = motion.ends_ns
        self._endpoints.command(MOTION_TRAJECTORY, motion)
        self._on_alive()

    def _on_alive(self) -> None:
        newest_ns = self._homing.newest_ns
        if self._ends_ns is not None and newest_ns <= self._ends_ns + nanoseconds(0.1):
            self._endpoints.publish(MOTION_ALIVE, to_header(newest_ns))

    def _report(self) -> None:
        """Say who would plan now, what came of the last plan, whether goals are taken."""
        level = OK
        try:
            planner = self._planners.choose().name
        except MotionError as error:
            planner, level = str(error), WARN
        values = {
            "last": self._last,
            "action": self._no_action or FOLLOW_TRAJECTORY.name,
        }
        event = Event(
            stamp_ns=now_ns(self),
            name=f"{self.get_name()}: planning",
            message=planner,
            values=values,
            level=level,
        )
        self._endpoints.publish(DIAGNOSTICS, to_event(event))


def main() -> int:
    """Run the motion node."""
    return run(MotionNode)


if __name__ == "__main__":
    sys.exit(main())
