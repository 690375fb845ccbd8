"""What every simulated task provides."""

from dataclasses import dataclass

from so101.arrays import FloatArray


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where an episode starts: at rest.

    Attributes:
        positions: Joint positions of the arm [rad]. Shape (joints,).
        objects: Object poses, rows x y z qx qy qz qw [m]. Shape (objects, 7).
    """

    positions: FloatArray
    objects: FloatArray
