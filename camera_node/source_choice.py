"""From parameters to a source: the one place that knows every kind of camera."""

from functools import partial
from pathlib import Path
from zlib import crc32

from camera_node.devices import check_stable
from camera_node.opencv_source import OpenCvSource
from camera_node.params import CameraParams
from camera_node.source import FrameSource, Wanted
from camera_node.stand_ins import Paced, drawn, recorded
from camera_node.v4l2 import V4l2Source
from so101.errors import ConfigError
from so101.topics import image_topic


def wanted_of(params: CameraParams) -> Wanted:
    """Return what the parameters ask of the camera."""
    return Wanted(height=params.height, width=params.width, rate_hz=params.rate)


def make_source(params: CameraParams) -> FrameSource:
    """Return a camera, not yet opened.

    Raises:
        ConfigError: It is not named by a name that outlives a replug.
    """
    wanted, quality = wanted_of(params), params.jpeg_quality
    if params.backend == "drawn":
        return Paced(partial(drawn, wanted, quality, crc32(params.camera.encode())), params.rate)
    if params.backend == "recorded":
        if not params.device:
            raise ConfigError("device: name a directory, a bag or a video with the images")
        topic = image_topic(params.camera).name
        return Paced(partial(recorded, Path(params.device), topic), params.rate)
    check_stable(params.device)
    if params.backend == "opencv":
        return OpenCvSource(params.device, wanted, quality)
    return V4l2Source(params.device, wanted)
