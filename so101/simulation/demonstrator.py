"""The scripted human: picks up the cube, more or less perfectly, and tries again after a miss.

It works closed loop and offers what a policy offers, one chunk per call. It looks at the cube once
per attempt and believes what it saw; it notices a miss while it lifts or carries.
"""

from collections import deque
from enum import Enum

import numpy as np

from so101.action import ActionChunk
from so101.arrays import FloatArray
from so101.clock import NS_PER_S, POLICY_HZ
from so101.errors import MotionError
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.observation import Observation
from so101.robot import GRIPPER, so101
from so101.simulation.grasp_planner import CLOSED_RAD, GraspPlan, GraspPlanner, cube_yaw
from so101.simulation.hand_motion import HandMotion, Imperfection, Segment
from so101.simulation.tasks.pick import PickTask

__all__ = ["HORIZON", "Imperfection", "Phase", "ScriptedDemonstrator"]

HORIZON = 16
_MAX_ATTEMPTS = 3
_LOST_M = 0.03  # a cube farther than this from the grasp frame is not held
_LIFTED_M = 0.035  # a cube whose centre is above this is off the desk
_BLOCKED_M = 0.012  # a gripper this far above its command stands on something
_MOVED_M = 0.015  # a cube that moved this far since the look is looked at again
_TAKEN_OVER_RAD = 0.25  # the command is this far from ours: somebody else steered
_SAFE_HEIGHT_M = 0.045  # the grasp frame above this clears the cube


class Phase(str, Enum):
    """What the demonstrator is doing."""

    RETREAT = "retreat"
    APPROACH = "approach"
    RETURN = "return"
    DESCEND = "descend"
    CLOSE = "close"
    LIFT = "lift"
    CARRY = "carry"
    GIVE_UP = "give_up"


_DURATIONS_S = {
    Phase.RETREAT: 0.4,
    Phase.APPROACH: 1.0,
    Phase.RETURN: 0.6,
    Phase.DESCEND: 0.6,
    Phase.CLOSE: 0.6,
    Phase.LIFT: 0.6,
    Phase.CARRY: 1.0,
    Phase.GIVE_UP: 1.0,
}


class ScriptedDemonstrator:
    """Acts from object poses and joint positions; simulation only."""

    def __init__(self, task: PickTask, imperfection: Imperfection | None = None) -> None:
        """Take the task and how imperfect to be; by default like a person.

        Args:
            task: The task to demonstrate.
            imperfection: `Imperfection.none` is the clean expert.
        """
        self.task = task
        self._imperfection = imperfection or Imperfection()
        self._planner = GraspPlanner()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start an episode, or take over in the middle of one."""
        self._rng = np.random.default_rng([seed, 0x64656D6F])
        self._hand: HandMotion | None = None
        self._points: deque[FloatArray] = deque()
        self._stamp_ns = 0
        self._command: FloatArray | None = None
        self._plan: GraspPlan | None = None
        self._attempts = 0

    @property
    def attempts(self) -> int:
        """How often it has reached for the cube in this episode."""
        return self._attempts

    def act(self, observation: Observation) -> ActionChunk:
        """Return the next commands, `HORIZON` points at the policy rate.

        What an earlier chunk promised stays; a chunk only adds to it. So a miss is answered after
        a reaction time of one chunk.

        Args:
            observation: With object poses.

        Raises:
            MotionError: The observation has no object poses.
        """
        self._drop_played(observation)
        if self._hand is None:
            self._hand = self._take_over(observation)
        self._react(observation)
        while len(self._points) < HORIZON:
            self._points.append(self._next_point(self._hand, observation))
        return ActionChunk(
            stamp_ns=observation.stamp_ns, positions=np.array(list(self._points)[:HORIZON])
        )

    def _drop_played(self, observation: Observation) -> None:
        """Forget points whose time has come; start over when others have steered meanwhile."""
        elapsed_ns = observation.stamp_ns - self._stamp_ns
        ticks = round(elapsed_ns * POLICY_HZ / NS_PER_S)
        self._stamp_ns = observation.stamp_ns
        if self._hand is None:
            return
        if not 0 <= ticks <= len(self._points):
            self._hand = None
            return
        for _ in range(ticks):
            self._command = self._points.popleft()
        if self._command is not None:
            error = np.abs(observation.command - self._command)[:GRIPPER].max()
            if error > _TAKEN_OVER_RAD:
                self._hand = None

    def _take_over(self, observation: Observation) -> HandMotion:
        self._points.clear()
        self._command = None
        self._plan = None
        return HandMotion(
            start=observation.command, imperfection=self._imperfection, rng=self._rng
        )

    def _react(self, observation: Observation) -> None:
        """Notice a miss, a loss, or a cube that is no longer where it was."""
        hand, plan = self._hand, self._plan
        if hand is None or plan is None:
            return
        if hand.phase == Phase.LIFT:
            if not _is_near(observation):
                hand.drop_rest()
        elif _must_stop(hand.phase, plan, observation):
            hand.stop()

    def _next_point(self, hand: HandMotion, observation: Observation) -> FloatArray:
        if hand.is_still:
            segments = self._decide(hand.pose, observation)
            if segments:
                hand.play(segments)
        return hand.tick()

    def _decide(self, pose: FloatArray, observation: Observation) -> list[Segment]:
        """Return what to do from a standstill; nothing when done or out of attempts."""
        home = so101().home
        is_home = bool(np.abs(pose - home)[:GRIPPER].max() < 0.01)
        if _is_near(observation) and _cube(observation)[2] > _LIFTED_M:
            carry = _with_gripper(home, CLOSED_RAD)
            return [] if is_home else [_segment(Phase.CARRY, carry)]
        if self._attempts < _MAX_ATTEMPTS:
            self._attempts += 1
            self._plan = self._planner.plan(self._look(observation), pose)
            if self._plan is not None:
                return self._attempt(self._plan, pose)
            self._attempts = _MAX_ATTEMPTS  # out of reach, and looking again does not help
        return [] if is_home else [_segment(Phase.GIVE_UP, home)]

    def _look(self, observation: Observation) -> FloatArray:
        """Return where the cube seems to be; a second look is twice as careful."""
        share = 1.0 if self._attempts == 1 else 0.5
        cube = _cube(observation).copy()
        error = self._rng.standard_normal(3) * share
        cube[:2] += self._imperfection.position_error_m * error[:2]
        half = 0.5 * (cube_yaw(cube) + self._imperfection.yaw_error_rad * error[2])
        cube[3:] = 0.0, 0.0, np.sin(half), np.cos(half)
        return cube

    def _attempt(self, plan: GraspPlan, pose: FloatArray) -> list[Segment]:
        """Return one whole attempt."""
        segments = []
        if so101_chain().pose(pose, GRASP_FRAME)[2, 3] < _SAFE_HEIGHT_M:
            segments.append(_segment(Phase.RETREAT, self._planner.raised(pose)))
        return [
            *segments,
            _segment(Phase.APPROACH if self._attempts == 1 else Phase.RETURN, plan.pre_grasp),
            _segment(Phase.DESCEND, plan.grasp, via=plan.halfway),
            _segment(Phase.CLOSE, _with_gripper(plan.grasp, CLOSED_RAD)),
            _segment(
                Phase.LIFT,
                _with_gripper(plan.pre_grasp, CLOSED_RAD),
                via=_with_gripper(plan.halfway, CLOSED_RAD),
            ),
            _segment(Phase.CARRY, _with_gripper(so101().home, CLOSED_RAD)),
        ]


def _segment(phase: Phase, goal: FloatArray, via: FloatArray | None = None) -> Segment:
    return Segment(phase=phase.value, goal=goal, duration_s=_DURATIONS_S[phase], via=via)


def _cube(observation: Observation) -> FloatArray:
    if observation.objects is None:
        raise MotionError("the scripted demonstrator needs object poses: simulation only")
    cube: FloatArray = observation.objects[0]
    return cube


def _is_near(observation: Observation) -> bool:
    """Tell whether the cube is between the jaws."""
    grasp = so101_chain().pose(observation.positions, GRASP_FRAME)[:3, 3]
    return bool(np.linalg.norm(_cube(observation)[:3] - grasp) < _LOST_M)


def _must_stop(phase: str, plan: GraspPlan, observation: Observation) -> bool:
    """Tell whether going on with a phase makes no sense."""
    if phase in (Phase.APPROACH, Phase.RETURN):
        return _has_moved(observation, plan)
    if phase in (Phase.DESCEND, Phase.CLOSE):
        return _is_blocked(observation)
    return phase == Phase.CARRY and not _is_near(observation)


def _has_moved(observation: Observation, plan: GraspPlan) -> bool:
    """Tell whether the cube is no longer where the plan saw it."""
    return bool(np.linalg.norm(_cube(observation)[:2] - plan.seen[:2]) > _MOVED_M)


def _is_blocked(observation: Observation) -> bool:
    """Tell whether something, such as a finger on the cube, keeps the gripper up."""
    chain = so101_chain()
    wanted = chain.pose(observation.command, GRASP_FRAME)[2, 3]
    return bool(chain.pose(observation.positions, GRASP_FRAME)[2, 3] - wanted > _BLOCKED_M)


def _with_gripper(positions: FloatArray, gripper: float) -> FloatArray:
    changed = np.array(positions)
    changed[GRIPPER] = gripper
    return changed
