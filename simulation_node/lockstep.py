"""Lock-step: how far simulated time may run before somebody has to answer. Pure.

A source that plans in chunks (policy, script) grants the time up to its next decision tick; a
motion grants its whole trajectory; nobody in control grants the time the arm needs to stand still.
Results then depend on what was decided and never on how fast the machine is.
"""

from dataclasses import dataclass

from so101.clock import nanoseconds
from so101.decisions import after
from so101.episode import ControlSource
from so101.errors import TrajectoryError
from so101.events import ControlEvent

SETTLE_NS = nanoseconds(0.3)
_IDLE = (ControlSource.HOLD, ControlSource.ESTOP)


def source_named(name: str) -> ControlSource:
    """Return the source that the arbiter wrote into a trajectory.

    Raises:
        TrajectoryError: It is none; the trajectory did not come through the arbiter.
    """
    try:
        return ControlSource(name)
    except ValueError as error:
        raise TrajectoryError(
            f"trajectory: its frame_id {name!r} is no control source; it did not come through "
            "the arbiter"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Granted:
    """A trajectory that the arbiter let through.

    Attributes:
        source: Whose it is.
        stamp_ns: Observation it was planned from, or its start [ns].
        ends_ns: When its last point is due [ns].
    """

    source: ControlSource
    stamp_ns: int
    ends_ns: int


class LockStep:
    """Decides tick by tick whether simulated time may pass.

    Trajectories and changes of control travel on different topics, so either may arrive first.
    What is decided here is the same for every order, as far as time stood still when control
    changed hands.
    """

    def __init__(self, latency_ns: int = 0) -> None:
        """Start with nobody in control.

        Args:
            latency_ns: Simulated time between an observation and the start of its chunk [ns];
                over before the next decision is due.
        """
        self.latency_ns = latency_ns
        self._granted: Granted | None = None
        self._until_ns: int | None = None
        self._reset_ns = 0
        self._control = ControlEvent(stamp_ns=-1, source=ControlSource.HOLD)
        self._decision_ticks: dict[ControlSource, int] = {}

    def on_control(self, event: ControlEvent) -> None:
        """Take note of who is in control."""
        self._control = event
        self._decision_ticks[event.source] = event.decision_ticks
        self._grant()

    def on_trajectory(self, granted: Granted) -> None:
        """Take note of a trajectory that the arm loop follows from now on.

        One from before the last reset belongs to another episode and is ignored; that somebody
        holds is said by the control event, which has the same stamp.
        """
        if granted.stamp_ns < self._reset_ns or granted.source in _IDLE:
            return
        self._granted = granted
        self._until_ns = None
        self._grant()

    def on_reset(self, stamp_ns: int) -> None:
        """Forget every trajectory older than a reset: it belongs to another episode."""
        self._reset_ns = stamp_ns
        if self._granted is not None and self._granted.stamp_ns < stamp_ns:
            self._granted = self._until_ns = None

    @property
    def source(self) -> ControlSource:
        """Who grants time now: the newer of the last trajectory and the last change of control.

        On equal stamps the trajectory counts, for the arbiter only lets through what is in
        control.
        """
        granted, control = self._granted, self._control
        if control.source is ControlSource.ESTOP:
            return ControlSource.ESTOP
        if granted is None:
            return ControlSource.HOLD
        if control.source is ControlSource.HOLD and control.stamp_ns > granted.stamp_ns:
            return ControlSource.HOLD
        return granted.source

    def may_pass(self, stamp_ns: int, *, is_still: bool, is_pending: bool = False) -> bool:
        """Tell whether time may run on from this tick.

        Args:
            stamp_ns: The control tick that was just simulated [ns].
            is_still: The arm stands still.
            is_pending: A trajectory has arrived that starts later than this tick, as every one
                does for the length of the simulated latency.
        """
        source = self.source
        if source is ControlSource.ESTOP:
            return not is_still
        if source is ControlSource.HOLD:
            return not is_still or is_pending or self._is_left_over(stamp_ns)
        if self._until_ns is None:
            return False
        return stamp_ns < self._until_ns or is_pending

    def _is_left_over(self, stamp_ns: int) -> bool:
        """Tell whether time granted before control was given up is left.

        It is used up first, so that the tick on which time stops does not depend on when the
        change of control arrived. An interrupted motion leaves nothing: it may be long.
        """
        if self._granted is None or self._until_ns is None:
            return False
        is_motion = self._decision_ticks.get(self._granted.source) == 0
        if is_motion and self._control.stamp_ns < self._granted.ends_ns:
            return False
        return stamp_ns < self._until_ns

    def _grant(self) -> None:
        """Find out how far the last trajectory goes, unless its change of control is on its way.

        The arbiter only lets through what is in control, so a change of control older than the
        trajectory and to another source is not the newest one.
        """
        granted, control = self._granted, self._control
        if granted is None:
            return
        if control.source is granted.source:
            is_news = self._until_ns is None or control.stamp_ns <= granted.stamp_ns
        else:
            is_news = self._until_ns is None and control.stamp_ns >= granted.stamp_ns
        ticks = self._decision_ticks.get(granted.source)
        if not is_news or ticks is None:
            return
        if ticks == 0:
            self._until_ns = granted.ends_ns + SETTLE_NS
        else:
            self._until_ns = after(granted.stamp_ns, ticks) + self.latency_ns
