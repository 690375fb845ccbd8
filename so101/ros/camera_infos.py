"""A camera's calibration as a message."""

from array import array

import numpy as np
from sensor_msgs.msg import CameraInfo

from so101.camera_calibration import CameraCalibration
from so101.ros.convert import optical_frame, to_header


def calibrated_info(
    stamp_ns: int, camera: str, size: tuple[int, int], calibration: CameraCalibration | None
) -> CameraInfo:
    """Return what belongs to one frame of a camera.

    Args:
        stamp_ns: Stamp of the frame [ns].
        camera: Camera id.
        size: Height and width [px].
        calibration: Of the camera; None where nobody calibrated it, which a message says by a
            camera matrix of zeros.
    """
    height, width = size
    info = CameraInfo(
        header=to_header(stamp_ns, optical_frame(camera)), height=height, width=width
    )
    if calibration is not None:
        info.distortion_model = calibration.distortion_model
        info.d = array("d", calibration.distortion_coefficients.data)
        info.k = np.array(calibration.camera_matrix.data, dtype=np.float64)
        info.r = np.array(calibration.rectification_matrix.data, dtype=np.float64)
        info.p = np.array(calibration.projection_matrix.data, dtype=np.float64)
    return info
