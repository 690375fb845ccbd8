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
        self._first_ns = 0

    def start(self, stamp_ns: int, decision_ticks: int) -> None:
        """Begin an episode; its first decision is due at the first policy tick from now on.

        Raises:
            ConfigError: There is not at least one tick from one decision to the next.
        """
        if decision_ticks < 1:
            raise ConfigError(f"decision_ticks={decision_ticks} must be at least 1")
        self.due_ns = self._first_ns = POLICY_GRID.stamp(POLICY_GRID.ceil(stamp_ns))
        self.count = 0
        self._ticks = decision_ticks

    def postpone(self, stamp_ns: int) -> None:
        """Let the next decision wait for the first policy tick from a stamp on.

        One that is due later anyway stays where it is: whoever was done in time keeps the rhythm.

        Args:
            stamp_ns: Before it nobody could act on a decision [ns].
        """
        if self.due_ns is not None:
            self.due_ns = max(self.due_ns, POLICY_GRID.stamp(POLICY_GRID.ceil(stamp_ns)))

    def again(self, newest_ns: int) -> None:
        """Let the newest tick be decided on: what was decided before came to nothing.

        Args:
            newest_ns: Stamp of the newest observation that has arrived [ns].
        """
        if self.due_ns is not None:
            newest_tick_ns = POLICY_GRID.stamp(POLICY_GRID.floor(newest_ns))
            self.due_ns = max(self._first_ns, newest_tick_ns)

    def overdue(self, newest_ns: int) -> int:
        """Return how many decisions have been due by the newest tick and were not made."""
        return 0 if self.due_ns is None else max(0, self._over(newest_ns) + 1)

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
        self.due_ns = after(self.due_ns, max(1, self._over(newest_ns)) * self._ticks)

    def skip(self, newest_ns: int) -> bool:
        """Give up the decision that is due if its successor is due, too.

        Args:
            newest_ns: Stamp of the newest observation that has arrived [ns].

        Returns:
            Whether it was given up: whoever was held up for so long does not get its tick again.
        """
        over = self._over(newest_ns)
        if self.due_ns is None or over < 1:
            return False
        self.due_ns = after(self.due_ns, over * self._ticks)
        return True

    def _over(self, newest_ns: int) -> int:
        """Return how many decisions are over by the newest tick, from the one that is due on."""
        if self.due_ns is None:
            return 0
        return (POLICY_GRID.floor(newest_ns) - POLICY_GRID.floor(self.due_ns)) // self._ticks
