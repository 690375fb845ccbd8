"""Replays the executed commands of a recorded episode on the simulated arm. No ROS.

The gate, the arm and the physics are those of the recording, so a recording of this simulation
repeats; how far it does not tells how much of it chance, or another robot, had a part in.
"""

from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray, IntArray, frozen
from so101.clock import CONTROL_GRID
from so101.control.trajectory import JointTrajectory
from so101.errors import BagError
from so101.observation import Observation
from so101.rewards.rater import Rater
from so101.robot import JOINTS
from so101.simulation.cell import CellTick, SimulatedCell
from so101.simulation.tasks.task import Start


@dataclass(frozen=True, kw_only=True)
class RecordedMotion:
    """What a recording says of the arm, on the control grid.

    Attributes:
        stamps_ns: Control ticks [ns]. Shape (ticks,).
        commands: Goal in force from each tick on [rad]. Shape (ticks, joints).
        positions: Measured at each tick [rad]. Shape (ticks, joints).
        objects: Object poses at the first tick [m]. Shape (objects, 7).
    """

    stamps_ns: IntArray
    commands: FloatArray
    positions: FloatArray
    objects: FloatArray

    def __post_init__(self) -> None:
        """Refuse what cannot be replayed.

        Raises:
            BagError: There are too few ticks, or a number is not finite.
        """
        if len(self.stamps_ns) < 2:
            raise BagError(f"playback: {len(self.stamps_ns)} ticks, need at least 2")
        for name in ("commands", "positions", "objects"):
            if not np.isfinite(getattr(self, name)).all():
                raise BagError(f"playback: {name} are not all finite")


@dataclass(frozen=True, kw_only=True)
class Playback:
    """How a replay went.

    Attributes:
        ticks: Control ticks that were replayed.
        changed_ticks: Ticks at which the gate changed the command.
        reasons: Why it did.
        max_error_rad: Largest difference to a recorded joint position [rad].
        mean_error_rad: Mean difference to the recorded joint positions [rad].
        is_success: The task succeeded again.
        kind: How it stood at the end, in one word.
    """

    ticks: int
    changed_ticks: int
    reasons: tuple[str, ...]
    max_error_rad: float
    mean_error_rad: float
    is_success: bool
    kind: str


def play(motion: RecordedMotion, cell: SimulatedCell, rater: Rater) -> Playback:
    """Replay a recorded motion from its own start.

    Args:
        motion: What was recorded.
        cell: Where it is replayed.
        rater: Judges it.
    """
    start = Start(positions=frozen(motion.positions[0]), objects=frozen(motion.objects))
    first = CONTROL_GRID.floor(cell.reset(start))
    cell.loop.arm()
    rater.reset()
    offsets = [CONTROL_GRID.floor(int(stamp)) for stamp in motion.stamps_ns]
    numbers = [offset - offsets[0] for offset in offsets]
    errors: list[FloatArray] = []
    reasons: list[str] = []
    changed, kind, is_success = 0, "", False
    expected = dict(zip(numbers, motion.positions, strict=True))
    for number in range(numbers[-1] + 1):
        tick = cell.tick(render=False)
        changed += bool(tick.arm.reasons)
        reasons += [reason for reason in tick.arm.reasons if reason not in reasons]
        if number in expected:
            errors.append(np.abs(tick.arm.state.positions - expected[number]))
        if tick.objects is not None:
            verdict = rater.update(_seen(tick))
            kind, is_success = verdict.kind, is_success or verdict.is_success
        if number == 0:
            cell.follow(_trajectory(motion, numbers, first))
        cell.advance()
    return Playback(
        ticks=numbers[-1] + 1,
        changed_ticks=changed,
        reasons=tuple(reasons),
        max_error_rad=float(np.max(errors)),
        mean_error_rad=float(np.mean(errors)),
        is_success=is_success,
        kind=kind,
    )


def _trajectory(motion: RecordedMotion, numbers: list[int], first: int) -> JointTrajectory:
    """Return one trajectory through every recorded command, each due at its own tick."""
    start_ns = CONTROL_GRID.stamp(first)
    times = tuple(CONTROL_GRID.stamp(first + number) - start_ns for number in numbers[1:])
    return JointTrajectory(
        stamp_ns=start_ns, joints=JOINTS, times_ns=times, positions=motion.commands[1:]
    )


def _seen(tick: CellTick) -> Observation:
    state = tick.arm.state
    return Observation(
        stamp_ns=tick.stamp_ns,
        positions=state.positions,
        velocities=state.velocities,
        effort=state.effort,
        command=tick.arm.command,
        objects=tick.objects,
    )
