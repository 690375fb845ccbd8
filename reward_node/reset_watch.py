"""Tells when the scene stands at the start that was asked for. Pure.

Nobody acknowledges a simulated reset: it is done when arm and objects are where they were asked to
be. On a real robot nobody sees the objects but a person, who says so.
"""

from typing import Protocol

import numpy as np

from so101.arrays import FloatArray
from so101.clock import nanoseconds
from so101.errors import SessionError
from so101.observation import Observation
from so101.simulation.tasks.task import Start

MATCH = 1e-6
"""A scene stands at a start when arm and objects are this near to it [rad, m]."""

SETTLE_NS = nanoseconds(1.0)
"""How long nothing is believed when the scene stood at that start before it was asked for [ns].

As after an episode that ended before anything moved. In lock-step a reset moves time on by more.
"""

STILL = 2e-3
"""A commanded joint that moves less than this from one policy tick to the next stands [rad]."""

STANDS_NS = nanoseconds(0.5)
"""So long it has stood when a person begins an episode, and since the reset was asked for [ns].

The way home begins a moment later than that.
"""


class Resets(Protocol):
    """Watches one reset after another."""

    awaited: str
    """What a reset that is not done yet waits for, in words for a person."""

    def ask(self, start: Start, stamp_ns: int) -> None:
        """Expect a start from now on."""
        ...

    def look(self, observation: Observation) -> bool:
        """Look at a policy tick; tell whether the scene was brought to the start by then."""
        ...

    def confirm(self) -> None:
        """Take a person's word that the scene is ready.

        Raises:
            SessionError: It is not a person's to say, or not yet.
        """
        ...


class ResetWatch:
    """Watches one simulated reset after another."""

    awaited = "arm or objects are not at its start"

    def __init__(self) -> None:
        """Wait for the first reset to be asked for."""
        self._start: Start | None = None
        self._seen: Observation | None = None
        self._settled_ns = 0

    def ask(self, start: Start, stamp_ns: int) -> None:
        """Expect a start from now on."""
        self._start = start
        stands_there = self._seen is not None and self._is_at_start(self._seen)
        self._settled_ns = stamp_ns + (SETTLE_NS if stands_there else 0)

    def look(self, observation: Observation) -> bool:
        """Look at a policy tick; tell whether the scene was brought to the start by then."""
        self._seen = observation
        return observation.stamp_ns > self._settled_ns and self._is_at_start(observation)

    def confirm(self) -> None:
        """Refuse a person's word: the simulation shows by itself when it is ready.

        Raises:
            SessionError: Always.
        """
        raise SessionError("the scene resets itself; wait for the episode, or end it first")

    def _is_at_start(self, observation: Observation) -> bool:
        start, objects = self._start, observation.objects
        if start is None or objects is None:
            return False
        off_rad = np.abs(observation.positions - start.positions).max()
        off_m = np.abs(objects[:, :3] - start.objects[:, :3]).max()
        return bool(max(off_rad, off_m) < MATCH)


class PersonResets:
    """Takes a person's word for a scene that nobody else sees, once the arm stands."""

    awaited = "set up the scene, then call episode/start once the arm stands"

    def __init__(self) -> None:
        """Wait for the first reset to be asked for."""
        self._command: FloatArray | None = None
        self._now_ns = self._stands_since_ns = 0
        self._is_ready = False

    def ask(self, start: Start, stamp_ns: int) -> None:
        """Expect a person's word from now on; only the simulation puts anything anywhere."""
        self._is_ready = False
        self._stands_since_ns = max(self._stands_since_ns, stamp_ns)

    def look(self, observation: Observation) -> bool:
        """Look at a policy tick; tell whether a person has said that the scene is ready."""
        before, self._command = self._command, observation.command
        self._now_ns = observation.stamp_ns
        if before is None or np.abs(self._command - before).max() >= STILL:
            self._stands_since_ns = observation.stamp_ns
        return self._is_ready

    def confirm(self) -> None:
        """Take a person's word that the scene is ready.

        Raises:
            SessionError: The arm moves, or may begin to: that would be part of the episode.
        """
        if self._now_ns < self._stands_since_ns + STANDS_NS:
            raise SessionError("the arm moves, or has just been told to; wait until it stands")
        self._is_ready = True
