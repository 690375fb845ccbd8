"""What the robot knows at one tick. Built by ``so101.streams``, consumed by policies."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from so101.arrays import FloatArray, ImageArray


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One joined sample of every stream at a policy tick.

    Attributes:
        stamp_ns: The policy tick this observation stands for [ns].
        positions: Measured joint positions [rad]. Shape (joints,).
        velocities: Measured joint velocities [rad/s]. Shape (joints,).
        effort: Estimated joint torques [N·m]. Shape (joints,).
        command: Goal in force just before this tick, after filters and gate [rad].
            Shape (joints,).
        images: Camera id to RGB image, uint8 of shape (height, width, 3). Decoded at the first
            look, which raises `so101.errors.BagError` when that is impossible.
        jpegs: Camera id to the compressed image behind it, as the camera sent it, for whoever
            passes images on. Empty where images never were compressed.
        missing: Ids of cameras whose image is absent or older than its age limit.
        task: The language instruction.
        objects: Object poses, rows x y z qx qy qz qw [m, unit quaternion]. Shape (objects, 7).
            Simulation only; None on a real robot.
    """

    stamp_ns: int
    positions: FloatArray
    velocities: FloatArray
    effort: FloatArray
    command: FloatArray
    images: Mapping[str, ImageArray] = field(default_factory=dict)
    jpegs: Mapping[str, bytes] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    task: str = ""
    objects: FloatArray | None = None
