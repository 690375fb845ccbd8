"""Auxiliary arrays of an algorithm as 32FC1 images, stamped with their observation."""

from array import array

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image

from so101.errors import BagError
from so101.ros.convert import from_stamp, to_header

Table = npt.NDArray[np.float32]


def to_aux(stamp_ns: int, values: Table) -> Image:
    """Return an auxiliary float32 table of shape (rows, columns) as a 32FC1 image."""
    rows, columns = values.shape
    data = array("B")
    data.frombytes(np.ascontiguousarray(values, dtype="<f4").tobytes())
    return Image(
        header=to_header(stamp_ns),
        height=rows,
        width=columns,
        encoding="32FC1",
        is_bigendian=0,
        step=4 * columns,
        data=data,
    )


def from_aux(message: Image) -> tuple[int, Table]:
    """Read stamp [ns] and an auxiliary float32 table.

    Raises:
        BagError: The image is not 32FC1 of the stated size.
    """
    shape = (message.height, message.width)
    if message.encoding != "32FC1" or len(message.data) != 4 * shape[0] * shape[1]:
        raise BagError(f"aux: {message.encoding} with {len(message.data)} bytes is not {shape}")
    values = np.frombuffer(message.data, dtype="<f4").reshape(shape)
    return from_stamp(message.header.stamp), values.astype(np.float32)
