"""What the gate asks about obstacles; ``so101.kinematics.collision`` answers it."""

from dataclasses import dataclass
from typing import Protocol

from so101.arrays import FloatArray


@dataclass(frozen=True, kw_only=True)
class Clearance:
    """The distance between two parts that may not touch.

    Attributes:
        pair: Names of the two parts.
        distance: Between their surfaces [m]; negative when they overlap.
        stop: Smallest allowed distance [m].
        slow: Below this distance they may approach one another only slowly [m].
    """

    pair: tuple[str, str]
    distance: float
    stop: float
    slow: float

    @property
    def excess(self) -> float:
        """Distance beyond the smallest allowed one [m]; negative in a violation."""
        return self.distance - self.stop


class CollisionCheck(Protocol):
    """Finds the parts that are close to one another at a pose."""

    def near(self, positions: FloatArray) -> tuple[Clearance, ...]:
        """Return every pair inside its slow distance at joint positions [rad]."""
        ...
