"""Array types and the one way to share an array between frozen values."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
ImageArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def frozen(values: npt.ArrayLike) -> FloatArray:
    """Return a read-only float64 copy, so that holders of the same value cannot disturb others."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array
