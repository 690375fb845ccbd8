"""Notices that the scene was reset: simulated time jumps ahead. Pure."""

from so101.clock import nanoseconds

JUMP_NS = nanoseconds(1.0)
"""Commands come 60 times a second; a longer gap between two is a reset [ns]."""


class SceneResets:
    """Follows the stamps of the arm's commands."""

    def __init__(self) -> None:
        """Begin before the first command."""
        self._newest_ns: int | None = None
        self._reset_ns: int | None = None

    def on_stamp(self, stamp_ns: int) -> None:
        """Take note of a command's stamp [ns]."""
        if self._newest_ns is not None and stamp_ns - self._newest_ns > JUMP_NS:
            self._reset_ns = stamp_ns
        self._newest_ns = stamp_ns

    def is_done(self, asked_ns: int) -> bool:
        """Tell whether a reset that was asked for at some time [ns] is done already.

        Whoever hears of it only then must not move: the arm stands at the start of an episode.
        """
        return self._reset_ns is not None and self._reset_ns > asked_ns
