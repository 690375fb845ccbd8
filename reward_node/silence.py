"""How long the robot may say nothing, and when the next episode may be asked for. Pure.

In lock-step time stands still between two episodes, so silence counts from a request on. A reset
that is taken back may be done already: the next episode, from the same start, would take the scene
of the last one for its own. So the robot gets a moment to hear of it first.
"""

from so101.episode import EpisodeState

TAKEN_BACK_S = 1.0
"""No episode is asked for so soon after a reset was taken back [s]."""


class Silence:
    """Follows what was heard from the robot and what it was told; times are of one clock [s]."""

    def __init__(self, patience_s: float, now_s: float) -> None:
        """Begin with a robot that was heard just now.

        Args:
            patience_s: Longest silence during an episode [s].
            now_s: The time [s].
        """
        self._patience_s = patience_s
        self._heard_s = self._next_s = now_s
        self._told = EpisodeState.IDLE

    def on_sample(self, now_s: float) -> None:
        """Take note of a word from the robot, or of another reason to count from now on."""
        self._heard_s = now_s

    def on_told(self, state: EpisodeState, now_s: float) -> None:
        """Take note of what the robot is told about an episode; idle is a word on none."""
        if state is EpisodeState.IDLE:
            return
        if state is EpisodeState.RESETTING:
            self._heard_s = now_s
        elif state is EpisodeState.DISCARDED and self._told is EpisodeState.RESETTING:
            self._next_s = now_s + TAKEN_BACK_S
        self._told = state

    def is_too_long(self, now_s: float) -> bool:
        """Tell whether a robot with an episode at hand has said nothing for too long."""
        return now_s - self._heard_s > self._patience_s

    def may_ask(self, now_s: float) -> bool:
        """Tell whether an episode may be asked for."""
        return now_s >= self._next_s
