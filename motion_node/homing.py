"""Brings the arm home: asks whoever plans, and sends what still fits when it comes. Pure."""

from collections.abc import Callable

import numpy as np

from motion_node.judging import Judge
from motion_node.planning import Planners, fitted
from so101.arrays import FloatArray
from so101.clock import seconds
from so101.control.planning import PlanRequest
from so101.control.trajectory import JointTrajectory
from so101.errors import MotionError
from so101.topics import JOINT_COMMANDS

AT_HOME = 1e-3
"""Within this of the pose nothing is moved [rad]."""

Tell = Callable[[str | MotionError], None]
"""Takes what comes of a wish, once."""


class Homing:
    """Knows where the arm is commanded, and at most one wish that is being planned.

    Attributes:
        newest_ns: Stamp of the newest command [ns].
        planner: Who was asked last, for a person.
    """

    def __init__(
        self,
        home: FloatArray,
        speed: float,
        planners: Planners,
        judge: Judge,
        send: Callable[[JointTrajectory], None],
    ) -> None:
        """Wait for the first command.

        Args:
            home: Where to go [rad]. Shape (joints,).
            speed: Share of the limits that is used.
            planners: Who can be asked.
            judge: Judges plans that took their time.
            send: Offers a motion to the arbiter.
        """
        self.newest_ns = 0
        self.planner = ""
        self._home, self._speed = home, speed
        self._planners, self._judge, self._send = planners, judge, send
        self._command: FloatArray | None = None
        self._tell: Tell | None = None

    @property
    def has_command(self) -> bool:
        """Whether the arm was commanded at all."""
        return self._command is not None

    def on_command(self, stamp_ns: int, command: FloatArray) -> None:
        """Take the command in force: stamp [ns] and positions [rad]."""
        self.newest_ns, self._command = stamp_ns, command

    def go(self, tell: Tell, objection: Callable[[], str]) -> None:
        """Go home.

        Args:
            tell: Takes where it goes, or why not: at once, or when the plan is there.
            objection: Asked when a plan comes that took its time: why the arm must not move any
                more, or nothing.
        """
        try:
            command = self._known()
            if np.abs(self._home - command).max() < AT_HOME:
                tell("already home")
                return
            planner = self._planners.choose()
        except MotionError as error:
            tell(error)
            return
        self._drop("another way home was asked for")
        self._tell, self.planner = tell, planner.name
        is_asking = True

        def answer(plan: JointTrajectory | MotionError) -> None:
            if self._tell is not tell:
                return  # a newer wish has taken its place
            self._tell = None
            words = "" if is_asking else objection()
            try:
                if words:
                    raise MotionError(f"{planner.name} planned, but {words}")
                if isinstance(plan, MotionError):
                    raise plan
                self._follow(plan, planner.name, is_own=planner is self._planners.own, tell=tell)
            except MotionError as error:
                tell(error)

        request = PlanRequest(
            start=command, goal=self._home, speed=self._speed, stamp_ns=self.newest_ns
        )
        planner.plan(request, answer)
        is_asking = False

    def _follow(self, plan: JointTrajectory, name: str, *, is_own: bool, tell: Tell) -> None:
        if not is_own:
            plan = fitted(plan, self._judge, self._known(), self.newest_ns, name)
        self._send(plan)
        tell(f"moving home within {seconds(plan.times_ns[-1]):.1f} s, by {name}")

    def _drop(self, words: str) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(MotionError(words))

    def _known(self) -> FloatArray:
        if self._command is None:
            raise MotionError(f"{JOINT_COMMANDS.name}: nothing has arrived yet")
        return self._command
