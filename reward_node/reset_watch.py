"""Tells when the scene stands at the start that was asked for. Pure.

Nobody acknowledges a reset: it is done when arm and objects are where they were asked to be.
"""

import numpy as np

from so101.clock import nanoseconds
from so101.observation import Observation
from so101.simulation.tasks.task import Start

MATCH = 1e-6
"""A scene stands at a start when arm and objects are this near to it [rad, m]."""

SETTLE_NS = nanoseconds(1.0)
"""How long nothing is believed when the scene stood at that start before it was asked for [ns].

As after an episode that ended before anything moved. In lock-step a reset moves time on by more.
"""


class ResetWatch:
    """Watches one reset after another."""

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

    def _is_at_start(self, observation: Observation) -> bool:
        start, objects = self._start, observation.objects
        if start is None or objects is None:
            return False
        off_rad = np.abs(observation.positions - start.positions).max()
        off_m = np.abs(objects[:, :3] - start.objects[:, :3]).max()
        return bool(max(off_rad, off_m) < MATCH)
