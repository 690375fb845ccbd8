"""What LeRobot's checkpoints do not say and somebody has to: ``so101.yaml`` beside config.json."""

from dataclasses import dataclass, field
from typing import Literal

from so101.config import option

OPTIONS_FILE = "so101.yaml"
UnitName = Literal["", "degrees", "m100_100"]
TypeName = Literal["", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class LeRobotOptions:
    """How a LeRobot checkpoint is run on this robot. Empty or 0 means: what the checkpoint says.

    Attributes:
        cameras: Camera id of this robot to the checkpoint's image feature, with or without
            ``observation.images.``; empty where their names agree.
    """

    checkpoint: str = option(
        "", "directory or hub id; only in an options file that lies elsewhere"
    )
    units: UnitName = option(
        "", "of its body joints: degrees, or m100_100 for parts of the calibrated range"
    )
    calibration: str = option("", "LeRobot's calibration file of the arm, for m100_100")
    rate_hz: int = option(0, "points per second: the fps of its dataset", range=(0, 240))
    execute_steps: int = option(0, "points executed before the next chunk", range=(0, 1000))
    cameras: dict[str, str] = field(
        default_factory=dict, metadata={"doc": "camera of this robot to its image feature"}
    )
    image_size: tuple[int, int] = option((0, 0), "height and width given to it [px]")
    task: str = option("", "instruction where the task topic gives none")
    dtype: TypeName = option("", "precision of the network: float32 or bfloat16")
