"""What is recorded, and when an episode is whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from so101.clock import NS_PER_S
from so101.episode import EpisodeState, Outcome
from so101.events import EpisodeEvent
from so101.topics import POLICY_ALIVE, TELEOP_ALIVE, Topic

CLOSE_WITHIN_NS = 3 * NS_PER_S

LAST_WORDS = {"policy": POLICY_ALIVE, "teleop": TELEOP_ALIVE}
"""Of each source, the topic of its signs of life; the last one has the stamp of the end."""

OUTCOMES = {
    EpisodeState.SUCCEEDED: Outcome.SUCCESS,
    EpisodeState.FAILED: Outcome.FAILURE,
    EpisodeState.TRUNCATED: Outcome.TRUNCATED,
    EpisodeState.DISCARDED: Outcome.DISCARDED,
}


@dataclass(frozen=True, kw_only=True)
class RecorderSetup:
    """What is recorded.

    Attributes:
        topics: Topics of every bag.
        paced: Names of the streams that tick throughout an episode: it is closed when all of
            them have reached its end.
        facts: Custom data of every bag, such as the software's version.
        is_lock_step: Log times are simulated time, so that a bag plays at its own pace.
        namespace: Robot namespace of the topics.
    """

    topics: tuple[Topic, ...]
    paced: tuple[str, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    is_lock_step: bool = True
    namespace: str = ""


class EpisodeEnd:
    """Waits for the last messages of an episode that ended."""

    def __init__(self, event: EpisodeEvent, setup: RecorderSetup, now_ns: int) -> None:
        """Begin to wait.

        Args:
            event: The end.
            setup: Says which streams must reach it.
            now_ns: Steady time [ns].
        """
        self.event = event
        self._asked_ns = now_ns
        word = LAST_WORDS.get(event.facts.source)
        words = [word.name] if word in setup.topics and word is not None else []
        self._awaited = (*setup.paced, *words)

    def late(self, newest: Mapping[str, int]) -> list[str]:
        """Return the topics whose newest stamp, by name, lies before the end."""
        end_ns = self.event.stamp_ns
        return [name for name in self._awaited if newest.get(name, -1) < end_ns]

    def is_due(self, newest: Mapping[str, int], now_ns: int) -> bool:
        """Tell whether everything has arrived, or the wait was long enough."""
        return not self.late(newest) or now_ns - self._asked_ns >= CLOSE_WITHIN_NS
