"""Raw frames to messages and back, the inverse of each other.

Apart from the JPEG frames that everything else uses: a frame of 640x480 is a megabyte.
"""

from array import array

import numpy as np
from sensor_msgs.msg import Image

from so101.arrays import ImageArray
from so101.raw_images import raw_image
from so101.ros.convert import from_stamp, optical_frame, to_header


def to_raw_image(stamp_ns: int, camera: str, pixels: ImageArray) -> Image:
    """Return an RGB frame of a camera as a message. Shape of ``pixels``: (height, width, 3)."""
    height, width = pixels.shape[:2]
    return Image(
        header=to_header(stamp_ns, optical_frame(camera)),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=array("B", np.ascontiguousarray(pixels, dtype=np.uint8).tobytes()),
    )


def from_raw_image(message: Image) -> tuple[int, ImageArray]:
    """Read stamp [ns] and RGB pixels of a frame of any driver. Shape (height, width, 3).

    Raises:
        BagError: See `so101.raw_images.raw_image`.
    """
    return from_stamp(message.header.stamp), raw_image(message)
