"""A simulated work cell: world, arm loop and time grid, one control tick at a time.

The simulation node and everything in-process (environment, roll-outs, evaluation) step this very
object, so what is learned without ROS holds for the graph. It owns the order of a tick; it neither
waits for anyone nor knows who commands.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from so101.arm import ArmState
from so101.arrays import FloatArray, ImageArray
from so101.clock import CONTROL_GRID, CONTROL_HZ, POLICY_GRID, POLICY_HZ
from so101.control.arm_loop import ArmLoop, ArmTick
from so101.control.trajectory import JointTrajectory
from so101.simulation.tasks.task import Start
from so101.simulation.world import World

STILL_SPEED = 0.02
"""Below this every joint counts as standing still [rad/s]."""

_TICKS = CONTROL_HZ // POLICY_HZ
_START_TICKS = CONTROL_HZ // 10
"""Episodes start on whole tenths of a second: only from there have all ticks the same offsets to
the last nanosecond, and an episode repeats to the last bit whenever it is run."""


@dataclass(frozen=True, kw_only=True)
class CellTick:
    """What happened at one control tick.

    Attributes:
        stamp_ns: The tick [ns].
        arm: Measured state, executed command, reasons and mode of the arm loop.
        objects: Object poses at policy ticks, (objects, 7), else None.
        images: Rendered frames at policy ticks, else empty.
    """

    stamp_ns: int
    arm: ArmTick
    objects: FloatArray | None
    images: Mapping[str, ImageArray]


class SimulatedCell:
    """Steps the world and the arm loop on the shared time grid."""

    def __init__(
        self, world: World, loop: ArmLoop, cameras: tuple[str, ...] = (), start_ns: int = 0
    ) -> None:
        """Wire the parts.

        Args:
            world: The world; its arm is the arm of ``loop``.
            loop: The arm loop.
            cameras: Cameras rendered at every policy tick.
            start_ns: Time starts at the first policy tick from here on [ns].
        """
        self.world = world
        self.loop = loop
        self.cameras = cameras
        self._index = self._first = POLICY_GRID.ceil(start_ns) * _TICKS
        self._last: CellTick | None = None
        self._last_ns = -1

    @property
    def stamp_ns(self) -> int:
        """Stamp of the next tick [ns]."""
        return CONTROL_GRID.stamp(self._index)

    @property
    def is_policy_tick(self) -> bool:
        """Tell whether the next tick is a policy tick."""
        return self._index % _TICKS == 0

    @property
    def is_still(self) -> bool:
        """Tell whether arm and command stood still at the last tick."""
        last = self._last
        if last is None:
            return False
        is_slow = bool(np.abs(last.arm.state.velocities).max() < STILL_SPEED)
        return is_slow and self.loop.is_settled

    def reset(self, start: Start, not_before_ns: int = 0) -> int:
        """Put arm and objects at a start; the next tick is the first whole tenth of a second.

        Args:
            start: Where they are put.
            not_before_ns: That tick is not before this stamp; time may jump ahead [ns].

        Returns:
            The stamp of that tick, which is a policy tick after the last tick [ns].
        """
        first = max(self._first, CONTROL_GRID.ceil(max(not_before_ns, self._last_ns + 1)))
        self._index = -(-first // _START_TICKS) * _START_TICKS
        self.world.reset(start)
        self.loop.reset(start.positions)
        self._last = None
        return self.stamp_ns

    def tick(self, *, render: bool = True) -> CellTick:
        """Run the arm loop at this tick; at policy ticks also look. No time passes."""
        stamp_ns = self.stamp_ns
        arm = self.loop.tick(stamp_ns)
        images: dict[str, ImageArray] = {}
        objects = None
        if self.is_policy_tick:
            objects = self.world.objects()
            if render:
                images = {camera: self.world.render(camera) for camera in self.cameras}
        self._last_ns = stamp_ns
        self._last = CellTick(stamp_ns=stamp_ns, arm=arm, objects=objects, images=images)
        return self._last

    def advance(self) -> None:
        """Let one control period pass."""
        self.world.advance()
        self._index += 1

    def follow(self, trajectory: JointTrajectory) -> None:
        """Hand a trajectory to the arm loop, as of the last tick."""
        self.loop.follow(trajectory, self.stamp_ns)

    @property
    def last_ns(self) -> int:
        """Stamp of the last tick [ns]."""
        return self._last_ns

    def measure(self) -> ArmState:
        """Read the arm without a tick."""
        return self.world.read_state()
