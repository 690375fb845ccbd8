"""What passed before: a source's trajectories pass in order, each once, of one speaker. Pure.

A source is a topic, and anybody can publish on it: a second policy that was started by mistake, or
a bag that is played back. The first speaker to get control keeps the word until control changes.
"""

import numpy as np

from so101.clock import NS_PER_S, seconds
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource

MOST_AHEAD_NS = NS_PER_S
"""What passed with a stamp further ahead keeps later ones out for no longer than this [ns]."""


class Passed:
    """Remembers what passed last of every source, and who speaks for the present one."""

    def __init__(self) -> None:
        """Nothing has passed."""
        self._last: dict[ControlSource, JointTrajectory] = {}
        self._newest_ns: dict[ControlSource, int] = {}
        self._speaker = ""

    def is_speaker(self, trajectory: JointTrajectory) -> bool:
        """Tell whether it is of whoever speaks for the source that got control last."""
        return trajectory.source == self._speaker

    def note(
        self,
        source: ControlSource,
        trajectory: JointTrajectory,
        now_ns: int,
        *,
        is_beginning: bool,
    ) -> None:
        """Take note of what passes.

        Args:
            source: Whose it is.
            trajectory: As it was offered.
            now_ns: The present stamp [ns].
            is_beginning: The source gets control by it.
        """
        if is_beginning:
            self._speaker = trajectory.source
        self._last[source] = trajectory
        if trajectory.stamp_ns:
            self._newest_ns[source] = min(trajectory.stamp_ns, now_ns + MOST_AHEAD_NS)

    def objection(
        self, source: ControlSource, trajectory: JointTrajectory, *, has_control: bool
    ) -> str:
        """Return why something is not new, or not this speaker's to say; or nothing.

        Args:
            source: Whose it is.
            trajectory: What is offered. With stamp 0, which means now, it is never late.
            has_control: The source is in control.
        """
        if has_control and not self.is_speaker(trajectory):
            return f"another speaker: {trajectory.source!r}, but {self._speaker!r} has control"
        older_ns = self._newest_ns.get(source, 0) - trajectory.stamp_ns
        if trajectory.stamp_ns and older_ns > 0:
            return f"out of order: {seconds(older_ns):.3f} s older than what passed last"
        last = self._last.get(source)
        if has_control and last is not None and _is_same(trajectory, last):
            return "repeated: it has passed before"
        return ""


def _is_same(one: JointTrajectory, other: JointTrajectory) -> bool:
    return (
        one.stamp_ns == other.stamp_ns != 0
        and one.times_ns == other.times_ns
        and np.array_equal(one.positions, other.positions)
    )
