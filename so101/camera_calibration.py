"""A camera's calibration as ROS's camera_calibration writes it, and where its file lies."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from so101.config import from_mapping, load_yaml
from so101.errors import ConfigError

DISTORTIONS = {"plumb_bob": (4, 5), "rational_polynomial": (8,), "equidistant": (4,)}
"""Number of distortion coefficients by model."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix in the file: rows first."""

    rows: int
    cols: int
    data: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CameraCalibration:
    """What a lens does to a picture; names and meaning are those of sensor_msgs/CameraInfo.

    Attributes:
        image_width: Of the pictures it was calibrated with [px].
        image_height: [px].
        camera_matrix: Of the distorted picture [px]. Shape (3, 3).
        distortion_model: A key of `DISTORTIONS`.
        distortion_coefficients: As many as the model has. Shape (1, n).
        rectification_matrix: Shape (3, 3).
        projection_matrix: Of the rectified picture [px]. Shape (3, 4).
        camera_name: For a person.
    """

    image_width: int
    image_height: int
    camera_matrix: Matrix
    distortion_model: str
    distortion_coefficients: Matrix
    rectification_matrix: Matrix
    projection_matrix: Matrix
    camera_name: str = ""

    def __post_init__(self) -> None:
        """Check sizes.

        Raises:
            ConfigError: The message names the matrix or the model.
        """
        model = self.distortion_model
        if model not in DISTORTIONS:
            known = ", ".join(DISTORTIONS)
            raise ConfigError(f"distortion_model: {model!r} is not one of {known}")
        shapes = {
            "camera_matrix": (3, 3),
            "rectification_matrix": (3, 3),
            "projection_matrix": (3, 4),
        }
        for name, (rows, cols) in shapes.items():
            _check_shape(name, getattr(self, name), rows, (cols,))
        _check_shape(
            "distortion_coefficients", self.distortion_coefficients, 1, DISTORTIONS[model]
        )
        if min(self.camera_matrix.data[0], self.camera_matrix.data[4]) <= 0.0:
            raise ConfigError("camera_matrix: the focal lengths must be positive")


def _check_shape(name: str, matrix: Matrix, rows: int, cols: tuple[int, ...]) -> None:
    is_whole = len(matrix.data) == matrix.rows * matrix.cols
    if matrix.rows != rows or matrix.cols not in cols or not is_whole:
        wanted = " or ".join(f"{rows}x{number}" for number in cols)
        raise ConfigError(
            f"{name}: {matrix.rows}x{matrix.cols} with {len(matrix.data)} numbers, "
            f"expected {wanted}"
        )


def load_calibration(url: str, height: int, width: int) -> CameraCalibration:
    """Read the calibration of a camera.

    Args:
        url: ``file:///path`` or ``package://name/path``.
        height: Of the camera's pictures [px].
        width: [px].

    Raises:
        ConfigError: It cannot be found or read, or is for pictures of another size.
    """
    path = path_of(url)
    found = from_mapping(CameraCalibration, load_yaml(path), str(path))
    if (found.image_height, found.image_width) != (height, width):
        raise ConfigError(
            f"camera_info_url: {path} is for {found.image_width}x{found.image_height} px, "
            f"the camera delivers {width}x{height}"
        )
    return found


def path_of(url: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file that a URL of camera_info_manager's kind names.

    Raises:
        ConfigError: It is no such URL, or the package is not installed.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "file" and rest.startswith("/"):
        return Path(rest)
    package, slash, inside = rest.partition("/")
    if not (separator and scheme == "package" and package and slash and inside):
        raise ConfigError(
            f"camera_info_url: {url!r} is neither file:///PATH nor package://NAME/PATH"
        )
    prefixes = [*filter(None, environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    shares = [Path(prefix) / "share" / package for prefix in prefixes]
    share = next((one for one in shares if one.is_dir()), None)
    if share is None:
        places = ", ".join(map(str, shares))
        raise ConfigError(f"camera_info_url: no package {package!r}: looked for {places}")
    return share / inside
