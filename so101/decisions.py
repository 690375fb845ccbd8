"""When the source in control owes its next chunk: policy, script and simulation alike. Pure."""

from so101.clock import POLICY_GRID
from so101.errors import ConfigError


def after(stamp_ns: int, ticks: int) -> int:
    """Return the stamp of the policy tick ``ticks`` after the one at or before ``stamp_ns``."""
    return POLICY_GRID.stamp(POLICY_GRID.floor(stamp_ns) + ticks)


class DecisionClock:
    """Decision ticks of one episode: its first tick, then every ``decision_ticks`` policy ticks.

    Attributes:
        due_ns: Stamp of the next decision [ns]; None while stopped.
        count: Decisions made in this episode.
    """

    def __init__(self) -> None:
        """Start stopped."""
        self.due_ns: int | None = None
        self.count = 0
        self._ticks = 1

    def start(self, stamp_ns: int, decision_ticks: int) -> None:
        """Begin an episode; its first decision is due at the first policy tick from now on.

        Raises:
            ConfigError: There is not at least one tick from one decision to the next.
        """
        if decision_ticks < 1:
            raise ConfigError(f"decision_ticks={decision_ticks} must be at least 1")
        self.due_ns = POLICY_GRID.stamp(POLICY_GRID.ceil(stamp_ns))
        self.count = 0
        self._ticks = decision_ticks

    def stop(self) -> None:
        """Owe nothing more."""
        self.due_ns = None

    def decided(self, newest_ns: int) -> None:
        """Move on to the next decision.

        A decision that was due before the newest tick seen is skipped in favour of the latest one
        that is not over yet: on hardware a slow policy answers less often, never about the past.

        Args:
            newest_ns: Stamp of the newest observation that has arrived [ns].
        """
        if self.due_ns is None:
            return
        self.count += 1
        due = POLICY_GRID.floor(self.due_ns) + self._ticks
        late = POLICY_GRID.floor(newest_ns) - due
        if late > 0:
            due += (late // self._ticks) * self._ticks
        self.due_ns = POLICY_GRID.stamp(due)
