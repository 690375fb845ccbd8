"""Where an episode begins in simulated time, and how far it may run ahead of its judge. Pure.

Both keep a run repeatable: what happens between two episodes takes as long as the machine likes,
and a judge that falls behind would lose ticks, and see a success late or never.
"""

from so101.clock import nanoseconds
from so101.episode import EpisodeFacts, EpisodeState
from so101.events import EpisodeEvent

LEAD_NS = nanoseconds(0.25)
"""Simulated time may be this far ahead of the newest reward of a running episode [ns]."""

GAP_NS = nanoseconds(10.0)
"""From the end of an episode to the start of the next one, unless that took longer [ns]."""


def next_start_ns(ended_ns: int, last_ns: int) -> int:
    """Return where the next episode begins [ns]: a fixed time after the end of the last one.

    How long it really took to come to rest and to go home depends on when messages arrived.

    Args:
        ended_ns: End of the last episode [ns].
        last_ns: The last tick that was simulated [ns].
    """
    late_ns = max(0, last_ns - ended_ns)
    return ended_ns + (late_ns // GAP_NS + 1) * GAP_NS


class JudgedEpisode:
    """Follows the episode that is being judged, from its reset to its end."""

    def __init__(self) -> None:
        """Begin between episodes."""
        self.ended_ns = 0
        self._id: str | None = None
        self._began_ns = self._judged_ns = 0

    def on_reset(self, facts: EpisodeFacts, stamp_ns: int) -> None:
        """Begin an episode: the scene stands at its start."""
        self._id, self._began_ns, self._judged_ns = facts.id, stamp_ns, stamp_ns

    def on_episode(self, event: EpisodeEvent) -> None:
        """Take note of an episode's end; nobody judges what comes after.

        One that was discarded before its reset was seen has an older stamp than its start.
        """
        if event.state.is_end and event.facts.id == self._id:
            self._id, self.ended_ns = None, max(event.stamp_ns, self._began_ns)

    def on_reward(self, stamp_ns: int) -> None:
        """Take note of a tick that was judged."""
        self._judged_ns = max(self._judged_ns, stamp_ns)

    def may_pass(self, stamp_ns: int) -> bool:
        """Tell whether the judge is near enough for time to run on from this tick."""
        return self._id is None or stamp_ns - self._judged_ns < LEAD_NS


def is_cancelled(asked: EpisodeFacts, event: EpisodeEvent) -> bool:
    """Tell whether an event takes back the reset that was asked for an episode."""
    return event.state is EpisodeState.DISCARDED and event.facts.id == asked.id
