"""Calibration files as ROS's camera_calibration writes them."""

import pytest

from so101.camera_calibration import load_calibration, path_of
from so101.errors import ConfigError

TEXT = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [ 613.2,     0. , 322.5,
            0. ,   614.1, 240.7,
            0. ,     0. ,   1. ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.0412, -0.1, 0.0003, -0.0012, 0.]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0.,
         0., 1., 0.,
         0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [ 610. ,   0. , 321.8,   0. ,
            0. , 612.4, 240.5,   0. ,
            0. ,   0. ,   1. ,   0. ]
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "camera.yaml"
        path.write_text(text)
        return f"file://{path}"

    return write


def test_a_file_of_camera_calibration_is_read(write):
    found = load_calibration(write(TEXT), 480, 640)
    assert found.camera_matrix.data[4] == 614.1
    assert found.distortion_coefficients.data[1] == -0.1
    assert found.projection_matrix.data[2] == 321.8


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("image_width: 640", "image_width: 320", "320x480 px, the camera delivers 640x480"),
        ("plumb_bob", "fisheye9", "distortion_model"),
        ("cols: 5", "cols: 4", "distortion_coefficients"),
        ("613.2", "0.0", "focal"),
        ("613.2", ".nan", "finite"),
        ("  rows: 3\n  cols: 4", "  rows: 3\n  cols: 3", "projection_matrix"),
        ("camera_name", "camera_nmae", "did you mean 'camera_name'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(write, old, new, words):
    assert old in TEXT
    with pytest.raises(ConfigError, match=words):
        load_calibration(write(TEXT.replace(old, new, 1)), 480, 640)


def test_a_package_is_found_where_it_is_installed(tmp_path):
    (tmp_path / "share" / "my_robot").mkdir(parents=True)
    environ = {"AMENT_PREFIX_PATH": f"/nowhere:{tmp_path}"}
    found = path_of("package://my_robot/config/wrist.yaml", environ)
    assert found == tmp_path / "share/my_robot/config/wrist.yaml"
    with pytest.raises(ConfigError, match="no package 'other'"):
        path_of("package://other/wrist.yaml", environ)


@pytest.mark.parametrize(
    "url", ["wrist.yaml", "/wrist.yaml", "file://wrist.yaml", "http://a/b", "package://a"]
)
def test_another_url_is_refused(url):
    with pytest.raises(ConfigError, match="camera_info_url"):
        path_of(url, {})
