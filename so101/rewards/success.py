"""Has the cube been picked up? Judged from joint positions and object poses alone.

Pure: no simulator, no ROS. The same code rates episodes live, in-process and from bags.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from so101.arrays import FloatArray
from so101.clock import nanoseconds
from so101.kinematics.chain import GRASP_FRAME, Chain, so101_chain
from so101.robot import GRIPPER, RobotSpec, so101


class FailureKind(str, Enum):
    """What an episode that did not succeed got stuck at."""

    NEVER_TOUCHED = "never_touched"
    MISSED_GRASP = "missed_grasp"
    DROPPED = "dropped"
    NOT_HOME = "not_home"
    NOT_SETTLED = "not_settled"


@dataclass(frozen=True, kw_only=True)
class PickRule:
    """What counts as a successful pick.

    Attributes:
        height_m: The cube's centre is above this [m].
        grasp_radius_m: And within this of the grasp frame [m].
        home_tolerance_rad: And every body joint is within this of home [rad].
        hold_s: And all of it has held this long [s].
        lost_height_m: A lifted cube below this is lost [m].
        touch_m: A cube moved by more than this was touched [m].
        stable_slip_m: A grip that lets the cube slip by less than this is stable [m].
    """

    height_m: float = 0.05
    grasp_radius_m: float = 0.03
    home_tolerance_rad: float = 0.15
    hold_s: float = 0.2
    lost_height_m: float = 0.03
    touch_m: float = 0.003
    stable_slip_m: float = 0.005


@dataclass(frozen=True, kw_only=True)
class SuccessSample:
    """What is true at one stamp.

    Attributes:
        stamp_ns: When [ns].
        is_success: The pick is done; stays True until `PickSuccess.reset`.
        probability: Probability of success, 1 or 0: this rater knows.
        touched: The cube was moved since the start.
        lifted: The cube is in the air and in the gripper.
        home: The arm is home.
        slip_m: Largest motion of the cube relative to the gripper since it was lifted [m].
        dropped: The cube was lifted and is lost now.
        drops: How often it was lost so far.
        stable_grip: It is lifted and has hardly slipped.
    """

    stamp_ns: int
    is_success: bool
    probability: float
    touched: bool
    lifted: bool
    home: bool
    slip_m: float
    dropped: bool
    drops: int
    stable_grip: bool


class PickSuccess:
    """Follows one episode sample by sample."""

    def __init__(
        self,
        *,
        rule: PickRule | None = None,
        robot: RobotSpec | None = None,
        chain: Chain | None = None,
    ) -> None:
        """Take the rule and the robot, both by default the shipped ones."""
        self.rule = rule or PickRule()
        self._home = (robot or so101()).home[:GRIPPER]
        self._chain = chain or so101_chain()
        self._hold_ns = nanoseconds(self.rule.hold_s)
        self.reset()

    def reset(self) -> None:
        """Forget the episode."""
        self._first_cube: FloatArray | None = None
        self._grip: FloatArray | None = None  # cube in the grasp frame when it was lifted
        self._true_since_ns: int | None = None
        self._slip_m = 0.0
        self._drops = 0
        self._last: SuccessSample | None = None

    def update(self, stamp_ns: int, positions: FloatArray, objects: FloatArray) -> SuccessSample:
        """Take the next sample.

        Args:
            stamp_ns: Its stamp, later than the one before [ns].
            positions: Measured joint positions [rad]. Shape (joints,).
            objects: Object poses, the cube first [m]. Shape (objects, 7).
        """
        cube = np.asarray(objects)[0, :3]
        if self._first_cube is None:
            self._first_cube = cube.copy()
        pose = self._chain.pose(positions, GRASP_FRAME)
        offset = pose[:3, :3].T @ (cube - pose[:3, 3])
        lifted = self._follow_grip(cube, offset)
        home = bool(
            np.all(np.abs(positions[:GRIPPER] - self._home) <= self.rule.home_tolerance_rad)
        )
        is_success = self._has_held(stamp_ns, lifted and home)
        was_touched = self._last is not None and self._last.touched
        sample = SuccessSample(
            stamp_ns=stamp_ns,
            is_success=is_success,
            probability=float(is_success),
            touched=was_touched or _distance(cube, self._first_cube) > self.rule.touch_m,
            lifted=lifted,
            home=home,
            slip_m=self._slip_m,
            dropped=self._drops > 0 and not lifted,
            drops=self._drops,
            stable_grip=lifted and self._slip_m < self.rule.stable_slip_m,
        )
        self._last = sample
        return sample

    def failure_kind(self) -> FailureKind:
        """Say what the episode is stuck at, if it ends now without success."""
        last = self._last
        if last is None or not last.touched:
            return FailureKind.NEVER_TOUCHED
        if last.dropped:
            return FailureKind.DROPPED
        if not last.lifted:
            return FailureKind.MISSED_GRASP
        return FailureKind.NOT_SETTLED if last.home else FailureKind.NOT_HOME

    def _follow_grip(self, cube: FloatArray, offset: FloatArray) -> bool:
        """Update slip and drops; tell whether the cube is lifted."""
        is_near = float(np.linalg.norm(offset)) <= self.rule.grasp_radius_m
        if is_near and self._grip is None and cube[2] > self.rule.height_m:
            self._grip, self._slip_m = offset, 0.0
        if self._grip is None:
            return False
        if not is_near or cube[2] < self.rule.lost_height_m:
            self._grip = None
            self._drops += 1
            return False
        self._slip_m = max(self._slip_m, _distance(offset, self._grip))
        return bool(cube[2] > self.rule.height_m)

    def _has_held(self, stamp_ns: int, is_true: bool) -> bool:
        if self._last is not None and self._last.is_success:
            return True
        if not is_true:
            self._true_since_ns = None
            return False
        if self._true_since_ns is None:
            self._true_since_ns = stamp_ns
        return stamp_ns - self._true_since_ns >= self._hold_ns


def _distance(a: FloatArray, b: FloatArray) -> float:
    return float(np.linalg.norm(a - b))
