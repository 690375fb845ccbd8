"""The pick task: lift the cube off the desk and bring it home."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from so101.arrays import FloatArray, frozen
from so101.errors import ConfigError
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.robot import GRIPPER, so101
from so101.simulation.tasks.task import Start

__all__ = ["CUBE_SIZE_M", "REGIONS", "PickTask", "Region", "Start"]

CUBE_SIZE_M = 0.025
_CLEAR_HEIGHT_M = 0.047  # of the grasp frame: the fingertips are 8 mm above a cube on the desk


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where the cube may lie; uniform in every coordinate.

    Attributes:
        x: Lowest and highest distance ahead of the base [m].
        y: Largest distance to either side [m].
        yaw: Largest turn to either side [rad].
    """

    x: tuple[float, float]
    y: float
    yaw: float


REGIONS = {
    "small": Region(x=(0.19, 0.25), y=0.05, yaw=0.0),
    "std": Region(x=(0.17, 0.27), y=0.09, yaw=np.pi / 6),
    "wide": Region(x=(0.14, 0.32), y=0.14, yaw=np.pi),
}


@dataclass(frozen=True, kw_only=True)
class PickTask:
    """Pick up the cube.

    Attributes:
        region: Where the cube is put: ``small`` for quick checks, ``std``, or ``wide``.
        name: The task's name.
        instruction: What a language-conditioned policy is told.
        time_limit_s: An episode is a failure after this time [s].
    """

    region: Literal["small", "std", "wide"] = "std"
    name: str = "pick"
    instruction: str = "pick up the cube"
    time_limit_s: float = 12.0

    def __post_init__(self) -> None:
        """Refuse an unknown region."""
        if self.region not in REGIONS:
            raise ConfigError(f"region {self.region!r} is not one of {', '.join(REGIONS)}")

    def start(self, seed: int, *, jitter: float = 0.0) -> Start:
        """Return the start of an episode; the same seed and jitter give the same start.

        Args:
            seed: Any integer from 0 on.
            jitter: The arm starts off home by up to this angle in every body joint [rad]: a
                recovery start. The cube's pose does not depend on it.
        """
        rng = np.random.default_rng([seed, 0x7069636B])
        place = REGIONS[self.region]
        x, y = rng.uniform(*place.x), rng.uniform(-place.y, place.y)
        yaw = rng.uniform(-place.yaw, place.yaw)
        positions = _near_home(jitter, rng)
        return Start(positions=frozen(positions), objects=frozen([cube_pose(x, y, yaw)]))


def _near_home(jitter: float, rng: np.random.Generator) -> FloatArray:
    """Return home with every body joint off by up to ``jitter``, above the cube [rad]."""
    while True:
        positions = so101().home.copy()
        positions[:GRIPPER] += jitter * rng.uniform(-1.0, 1.0, GRIPPER)
        if so101_chain().pose(positions, GRASP_FRAME)[2, 3] > _CLEAR_HEIGHT_M:
            return positions


def cube_pose(x: float, y: float, yaw: float) -> FloatArray:
    """Return the pose of the cube lying on the desk, x y z qx qy qz qw [m]. Shape (7,)."""
    half = 0.5 * yaw
    return np.array([x, y, 0.5 * CUBE_SIZE_M, 0.0, 0.0, np.sin(half), np.cos(half)])
