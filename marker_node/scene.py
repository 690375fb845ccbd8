"""What is drawn: the way the gripper went, the way the policy plans, and a line of words. No ROS.

The way it went has the colour of who was in control, so that a takeover is seen as one. What is
planned ends where the chunk ends; a plan that is over is not drawn.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

from so101.arrays import FloatArray
from so101.clock import NS_PER_S
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource, EpisodeState
from so101.errors import ObservationError
from so101.events import ControlEvent, EpisodeEvent
from so101.kinematics.chain import GRASP_FRAME, Chain
from so101.robot import JOINTS

Colour = tuple[float, float, float, float]
"""Red, green, blue, opacity; each from 0 to 1."""

COLOURS: dict[ControlSource, Colour] = {
    ControlSource.ESTOP: (0.90, 0.10, 0.10, 1.0),
    ControlSource.TELEOP: (1.00, 0.85, 0.10, 1.0),
    ControlSource.MOTION: (0.85, 0.85, 0.85, 1.0),
    ControlSource.POLICY: (0.25, 0.55, 1.00, 1.0),
    ControlSource.HOLD: (0.55, 0.55, 0.55, 1.0),
}
"""Of the way and of the words, which so say what they mean. None of them is the arm's orange."""

PLAN: Colour = (0.10, 0.90, 0.75, 0.8)

LINE_M = 0.004
TEXT_M = 0.02
"""Width of a line and height of a capital letter [m]."""

WORDS_AT = np.array([[0.15, 0.0, 0.38]])
"""Above the arm, where RViz's files look, in its base frame [m]. Shape (1, 3)."""

STEP_M = 0.002
"""The way it went gets a point whenever the gripper is this far from the last one [m]."""

MOST_PLANNED = 25
"""Points of a plan that are drawn; a chunk may have more."""


class Kind(Enum):
    """How a drawing is meant."""

    LINE = "line"
    TEXT = "text"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One thing to draw; a line with fewer than two points, or no words, is to be taken away.

    Attributes:
        name: It replaces what was drawn under this name.
        kind: A line through the points, or words at the first one.
        points: In the base frame [m]. Shape (n, 3).
        colours: One per point.
        size_m: Width of the line, or height of the letters [m].
        text: The words.
    """

    name: str
    kind: Kind
    points: FloatArray
    colours: tuple[Colour, ...]
    size_m: float
    text: str = ""

    @property
    def is_visible(self) -> bool:
        """Tell whether there is anything to see."""
        return bool(self.text) if self.kind is Kind.TEXT else len(self.points) > 1


class Scene:
    """Collects what was said and returns what is to be drawn."""

    def __init__(self, chain: Chain, trail_s: float) -> None:
        """Begin with nothing.

        Args:
            chain: Of the arm, with the grasp frame.
            trail_s: How much of the way that the gripper went is kept [s].
        """
        self._chain, self._trail_ns = chain, round(trail_s * NS_PER_S)
        self._went: deque[tuple[int, FloatArray, Colour]] = deque()
        self._plan: FloatArray = np.empty((0, 3))
        self._plan_ends_ns = 0
        self._now_ns = 0
        self._source = ControlSource.HOLD
        self._episode = self._state = self._waiting = ""

    def on_state(self, stamp_ns: int, positions: FloatArray) -> None:
        """Take where the arm is.

        Args:
            stamp_ns: When [ns]. Time that goes back begins the way anew.
            positions: [rad]. Shape (joints,).
        """
        if stamp_ns < self._now_ns:
            self._went.clear()
            self._plan_ends_ns = 0
        self._now_ns = stamp_ns
        while self._went and self._went[0][0] < stamp_ns - self._trail_ns:
            self._went.popleft()
        if not np.isfinite(positions).all():
            return
        point = self._gripper(positions)
        if not self._went or float(np.linalg.norm(point - self._went[-1][1])) >= STEP_M:
            self._went.append((stamp_ns, point, COLOURS[self._source]))

    def on_plan(self, trajectory: JointTrajectory) -> None:
        """Take what the policy wants.

        Raises:
            ObservationError: It is not a finite plan of all joints; the last one stays.
        """
        if trajectory.joints != JOINTS or not len(trajectory.times_ns):
            raise ObservationError("plan: needs all joints in order, and a point")
        if not np.isfinite(trajectory.positions).all():
            raise ObservationError("plan: not finite")
        count = len(trajectory.positions)
        chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_PLANNED)).round().astype(int))
        self._plan = np.array([self._gripper(trajectory.positions[k]) for k in chosen])
        begin_ns = trajectory.stamp_ns or self._now_ns
        self._plan_ends_ns = begin_ns + trajectory.times_ns[-1]

    def on_episode(self, event: EpisodeEvent) -> None:
        """Take what becomes of an episode; each begins with a clean picture."""
        self._episode, self._state = event.facts.id, event.state.value
        if event.state is EpisodeState.RUNNING:
            self._went.clear()
            self._plan_ends_ns = 0

    def on_control(self, event: ControlEvent) -> None:
        """Take who is in control."""
        self._source = event.source

    def on_waiting(self, words: str) -> None:
        """Take what the session has been waiting for; empty when it goes on."""
        self._waiting = words

    def drawings(self) -> tuple[Drawing, ...]:
        """Return everything to draw, in a fixed order."""
        went = np.array([point for _, point, _ in self._went]).reshape(-1, 3)
        is_over = self._plan_ends_ns < self._now_ns
        plan = self._plan[:0] if is_over else self._plan
        return (
            Drawing(
                name="executed",
                kind=Kind.LINE,
                points=went,
                colours=tuple(colour for _, _, colour in self._went),
                size_m=LINE_M,
            ),
            Drawing(
                name="planned",
                kind=Kind.LINE,
                points=plan,
                colours=(PLAN,) * len(plan),
                size_m=LINE_M,
            ),
            Drawing(
                name="words",
                kind=Kind.TEXT,
                points=WORDS_AT,
                colours=(COLOURS[self._source],),
                size_m=TEXT_M,
                text=self._words(),
            ),
        )

    def _words(self) -> str:
        first = f"{self._episode} {self._state}".strip()
        lines = [first, f"control: {self._source.value}", f"waiting {self._waiting}"]
        return "\n".join(lines if self._waiting else lines[:2]).strip()

    def _gripper(self, positions: FloatArray) -> FloatArray:
        return self._chain.pose(positions, GRASP_FRAME)[:3, 3]
