"""Parameters of a camera node."""

from dataclasses import dataclass

from so101.config import option
from so101.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CameraParams:
    """One camera: which one it is, what is asked of it, and when it counts as broken."""

    camera: str = option("", "camera id, such as wrist; the node is called <id>_camera")
    backend: str = option(
        "v4l2",
        "how frames are had: v4l2 (the camera's own JPEGs), opencv (compressed again, for cameras "
        "without Motion-JPEG), recorded (images of a directory, bag or video), drawn (tests)",
        choices=("v4l2", "opencv", "recorded", "drawn"),
    )
    device: str = option(
        "", "/dev/v4l/by-id/... or by-path/..., or a link of your own; recorded: a path"
    )
    width: int = option(640, "width that is asked for, exactly [px]", range=(32, 3840))
    height: int = option(480, "height that is asked for, exactly [px]", range=(32, 2160))
    rate: int = option(30, "frames per second that are asked for, exactly", range=(1, 240))
    jpeg_quality: int = option(90, "of JPEGs that are made here", range=(1, 100))
    raw_images: bool = option(False, "publish every frame decoded too, besides JPEG")
    camera_info_url: str = option(
        "", "calibration, file:///PATH or package://NAME/PATH; empty for an uncalibrated camera"
    )
    max_silence: float = option(
        0.2, "without a good frame for so long the camera is not live [s]", range=(0.05, 5.0)
    )
    reopen_after: float = option(
        3.0, "without a good frame for so long it is opened anew [s]", range=(0.5, 60.0)
    )
    views: str = option(
        "", "directory of what each camera saw when it was set up, to find swapped cameras"
    )
    remember_view: bool = option(False, "remember the present view there, in place of the old one")
    refuse_swapped: bool = option(
        False, "publish nothing while the camera seems to be another one; false only warns"
    )

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            ConfigError: A camera that does as it should would count as silent.
        """
        if self.max_silence * self.rate < 2.0:
            raise ConfigError(
                f"max_silence: {self.max_silence:g} s is less than two frames at rate {self.rate}"
            )
