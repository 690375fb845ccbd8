"""Auxiliary arrays of a policy as 32FC1 images, stamped with their observation."""

from array import array

import numpy as np
from sensor_msgs.msg import Image

from so101.arrays import Float32Array
from so101.ros.convert import to_header


def to_aux(stamp_ns: int, values: Float32Array) -> Image:
    """Return an array as a 32FC1 image, the inverse of `so101.data.bags.messages.aux_table`.

    Args:
        stamp_ns: Stamp of the observation it belongs to [ns].
        values: Shape (rows, columns), or (columns,) for a single row.
    """
    rows, columns = np.atleast_2d(values).shape
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
