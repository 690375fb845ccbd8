"""What a policy behind an openpi server is given and what its numbers mean: said, never guessed.

openpi's protocol names neither keys nor units nor rates, so a file does. Pure.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from so101.action import ActionSpace
from so101.arrays import FloatArray, ImageArray
from so101.clock import POLICY_HZ
from so101.config import from_mapping, load_yaml, option
from so101.errors import ConfigError
from so101.robot import JOINTS, from_lerobot, to_lerobot
from so101.servos.calibration import read_calibration
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class OpenPiFormat:
    """The observation a server wants and the actions it gives."""

    units: Literal["rad", "degrees", "m100_100"]
    """Of state and actions. ``degrees`` and ``m100_100`` are LeRobot's, with the gripper 0-100."""
    horizon: int
    """Actions in a chunk."""
    execute_steps: int = option(8, "actions executed before the next chunk", range=(1, 1000))
    rate_hz: int = option(POLICY_HZ, "actions per second; divides 30 Hz", range=(1, POLICY_HZ))
    actions: Literal["absolute", "delta"] = option(
        "absolute", "delta: body joints relative to the state, the gripper absolute"
    )
    joints: tuple[str, ...] = option(JOINTS, "order of the joints in state and actions")
    images: dict[str, str] = field(
        default_factory=dict, metadata={"doc": "key of each image to the robot's camera id"}
    )
    image_size: tuple[int, int] = option(
        (0, 0), "height and width that images are fitted into with black bars; (0, 0) as recorded"
    )
    state_key: str = option("observation/state", "key of the joint positions")
    prompt_key: str = option("prompt", "key of the instruction; empty to send none")
    actions_key: str = option("actions", "key of the chunk in the answer")
    task: str = option("", "instruction that the policy was trained on")
    calibration: str = option("", "LeRobot's calibration file of the arm, for m100_100")

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        if sorted(self.joints) != sorted(JOINTS):
            raise ConfigError(f"joints: {', '.join(self.joints)}; expected {', '.join(JOINTS)}")
        if (self.units == "m100_100") != bool(self.calibration):
            raise ConfigError("units m100_100 and a calibration file belong together")
        if len(set(self.images.values())) != len(self.images):
            raise ConfigError(f"images: a camera is named twice: {self.images}")

    @property
    def spec(self) -> PolicySpec:
        """Inputs and outputs as every policy says them. Images are wanted as recorded."""
        space = ActionSpace(
            kind="joint_absolute",
            rate_hz=self.rate_hz,
            horizon=self.horizon,
            execute_steps=self.execute_steps,
        )
        names = {camera: key for key, camera in self.images.items()}
        return PolicySpec(
            cameras=tuple(names), camera_names=names, action_space=space, task=self.task
        )


def read_format(path: Path) -> OpenPiFormat:
    """Read a YAML file; a calibration's path is relative to it.

    Raises:
        ConfigError: It is missing or wrong.
    """
    values = from_mapping(OpenPiFormat, load_yaml(path), str(path))
    if not values.calibration:
        return values
    return replace(values, calibration=str(path.parent / values.calibration))


class JointValues:
    """Joint positions between this robot [rad] and a server."""

    def __init__(self, wanted: OpenPiFormat) -> None:
        """Read the calibration where one is needed.

        Raises:
            ConfigError: It is missing or broken.
        """
        self._order = [JOINTS.index(joint) for joint in wanted.joints]
        self._is_radians = wanted.units == "rad"
        self._is_delta = wanted.actions == "delta"
        self._half_range: FloatArray | None = None
        if wanted.units == "m100_100":
            self._half_range = read_calibration(Path(wanted.calibration)).half_range

    def state(self, positions: FloatArray) -> FloatArray:
        """Return positions [rad] as the server wants them. Shape (..., joints)."""
        return self._outward(positions)[..., self._order]

    def chunk(self, actions: FloatArray, positions: FloatArray) -> FloatArray:
        """Return a server's actions as joint positions [rad]. Shape (horizon, joints).

        Args:
            actions: As the server gave them. Shape (horizon, joints).
            positions: Joint positions behind them [rad]. Shape (joints,).
        """
        ordered = np.empty_like(actions)
        ordered[:, self._order] = actions
        if self._is_delta:
            ordered[:, :-1] += self._outward(positions)[:-1]
        if self._is_radians:
            return ordered
        radians = from_lerobot(ordered)
        if self._half_range is not None:
            radians[:, :-1] = (ordered / 100.0 * self._half_range)[:, :-1]
        return radians

    def _outward(self, positions: FloatArray) -> FloatArray:
        if self._is_radians:
            return np.asarray(positions, dtype=np.float64)
        values = to_lerobot(positions)
        if self._half_range is not None:
            values[..., :-1] = (positions / self._half_range * 100.0)[..., :-1]
        return values


def fit_image(image: ImageArray, size: tuple[int, int]) -> ImageArray:
    """Return an image shrunk or grown into a size, its proportions kept, black around it.

    Args:
        image: uint8 of shape (height, width, 3).
        size: Height and width [px]; (0, 0) returns the image as it is.
    """
    if size in ((0, 0), image.shape[:2]):
        return image
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    kind = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    fitted = np.zeros((*size, 3), dtype=np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    fitted[top : top + height, left : left + width] = cv2.resize(
        image, (width, height), interpolation=kind
    )
    return fitted
