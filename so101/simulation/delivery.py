"""Chunks on their way to the arm in simulated time, and how long the arm is without one. Pure."""

from so101.action import ActionChunk
from so101.clock import CONTROL_GRID
from so101.simulation.latency import SimulatedLatency


class Delivery:
    """Carries the chunks of one episode, one at a time.

    Attributes:
        followed_ticks: Control ticks since the first chunk reached the arm.
        stalled_ticks: Those of them at which every point of the arm's plan was past.
        refused: Chunks that were past as a whole when they reached the arm.
    """

    def __init__(self, latency: SimulatedLatency, episode_seed: int) -> None:
        """Begin an episode: nothing is under way and there is no plan yet."""
        self.followed_ticks = self.stalled_ticks = self.refused = 0
        self._latency, self._seed = latency, episode_seed
        self._sent = 0
        self._chunk: ActionChunk | None = None
        self._arrives_ns = 0
        self._ends_ns: int | None = None

    @property
    def is_under_way(self) -> bool:
        """Tell whether a chunk is still to arrive."""
        return self._chunk is not None

    def send(self, chunk: ActionChunk) -> int:
        """Send a chunk on its way.

        Returns:
            When it is there: the first control tick at or after observation and latency [ns].
        """
        latency_ns = self._latency.draw_ns(self._seed, self._sent)
        self._sent += 1
        self._chunk = chunk
        self._arrives_ns = CONTROL_GRID.stamp(CONTROL_GRID.ceil(chunk.stamp_ns + latency_ns))
        return self._arrives_ns

    def arrived(self, now_ns: int) -> ActionChunk | None:
        """Return the chunk that is there by now, once."""
        if self._chunk is None or self._arrives_ns > now_ns:
            return None
        chunk, self._chunk = self._chunk, None
        return chunk

    def on_tick(self, stamp_ns: int) -> None:
        """Count a control tick; a point that is due at it is not past yet."""
        if self._ends_ns is None:
            return
        self.followed_ticks += 1
        self.stalled_ticks += stamp_ns > self._ends_ns + 1  # stamps are rounded

    def followed(self, ends_ns: int) -> None:
        """Take note that the arm follows a chunk whose last point is due then [ns]."""
        self._ends_ns = ends_ns
