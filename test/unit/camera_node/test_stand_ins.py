"""Recorded and drawn cameras, OpenCV's, and what parameters choose."""

import subprocess
import sys
from itertools import islice

import cv2
import numpy as np
import pytest
from camera_scenes import WANTED, Clock, picture
from factories import make_bag

from camera_node.opencv_source import OpenCvSource
from camera_node.params import CameraParams
from camera_node.source_choice import make_source
from camera_node.stand_ins import Paced, drawn, recorded
from camera_node.v4l2 import V4l2Source
from so101.errors import ConfigError, HardwareError
from so101.images import decode_image, image_shape
from so101.topics import image_topic

TOPIC = image_topic("wrist").name


def test_a_paced_source_delivers_the_image_whose_time_has_come():
    clock = Clock(0)
    images = [picture(n) for n in range(20)]
    source = Paced(lambda: ("images", iter(images)), 10, clock, clock.pass_s)
    with pytest.raises(HardwareError):
        source.read(1.0)
    source.open()
    frames = [source.read(1.0) for _ in range(3)]
    assert [f.captured_ns for f in frames] == [0, 100_000_000, 200_000_000]
    assert source.read(0.05) is None
    clock.pass_s(0.4)  # held up until 0.65 s
    late = source.read(0.2)
    assert (late.captured_ns, late.lost) == (600_000_000, 3)
    assert late.jpeg == images[6]
    source.close()
    with pytest.raises(HardwareError):
        source.read(0.0)


def test_a_directory_is_played_in_the_order_of_names_over_and_over(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    (tmp_path / "notes.txt").write_text("no image")
    words, jpegs = recorded(tmp_path, TOPIC)
    assert "6 images" in words
    assert list(islice(jpegs, 8)) == [picture(n % 6) for n in range(8)]


def test_a_bag_is_played_by_its_topic(tmp_path):
    bag = make_bag(directory=tmp_path / "bag", cameras=("wrist", "front"))
    _, wrist = recorded(bag, TOPIC)
    assert image_shape(next(wrist))
    with pytest.raises(ConfigError, match="holds no images"):
        recorded(bag, image_topic("top").name)


def test_a_video_is_compressed(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for value in (50, 200):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    _, jpegs = recorded(path, TOPIC)
    means = [decode_image(jpeg).mean() for jpeg in islice(jpegs, 2)]
    assert means == pytest.approx([50, 200], abs=3)


def test_what_is_not_there_or_holds_nothing_is_said(tmp_path):
    with pytest.raises(HardwareError, match="no such"):
        recorded(tmp_path / "absent", TOPIC)
    with pytest.raises(ConfigError):
        recorded(tmp_path, TOPIC)
    (tmp_path / "broken.avi").write_bytes(b"no video")
    with pytest.raises(ConfigError, match="holds no images"):
        recorded(tmp_path / "broken.avi", TOPIC)


def test_drawn_images_have_the_size_and_never_repeat():
    _, jpegs = drawn(WANTED, 90, seed=1)
    found = list(islice(jpegs, 40))
    assert len(set(found)) == 40
    assert {image_shape(jpeg) for jpeg in found} == {(48, 64)}
    assert found[:3] == list(islice(drawn(WANTED, 90, seed=1)[1], 3))
    assert found[:3] != list(islice(drawn(WANTED, 90, seed=2)[1], 3))


class FakeCapture:
    """What OpenCV's capture does: takes any wish, and keeps to what it can."""

    def __init__(self, size=(64, 48), rate=30, frames=3):
        self.properties = {
            cv2.CAP_PROP_FRAME_WIDTH: size[0],
            cv2.CAP_PROP_FRAME_HEIGHT: size[1],
            cv2.CAP_PROP_FPS: rate,
        }
        self.frames = frames
        self.is_released = False

    def isOpened(self):  # noqa: N802  # OpenCV's name
        return self.frames > 0

    def set(self, name, value):
        return False

    def get(self, name):
        return float(self.properties[name])

    def read(self):
        self.frames -= 1
        image = np.zeros((48, 64, 3), np.uint8)
        image[:, :, 2] = 200  # red, as OpenCV orders colours
        return self.frames >= 0, image

    def release(self):
        self.is_released = True


def opencv(capture, now_ns=lambda: 7):
    return OpenCvSource("cam", WANTED, 90, find=str, capture=lambda path: capture, now_ns=now_ns)


@pytest.mark.case(30)
def test_opencv_frames_are_rgb_compressed_and_stamped_at_arrival():
    source = opencv(FakeCapture(frames=2))
    assert "stamped at arrival" in source.open()
    frame = source.read(0.0)
    assert frame.captured_ns == 7
    assert frame.pixels[0, 0].tolist() == [200, 0, 0]
    assert decode_image(frame.jpeg)[0, 0] == pytest.approx([200, 0, 0], abs=6)
    source.read(0.0)
    with pytest.raises(HardwareError, match="no more frames"):
        source.read(0.0)


@pytest.mark.case(30)
@pytest.mark.parametrize("capture", [FakeCapture(size=(32, 24)), FakeCapture(rate=15)])
def test_opencv_with_another_size_or_rate_is_refused(capture):
    with pytest.raises(ConfigError, match="would give"):
        opencv(capture).open()
    assert capture.is_released


def test_opencv_that_does_not_open_is_tried_again_later():
    with pytest.raises(HardwareError):
        opencv(FakeCapture(frames=0)).open()


def test_parameters_choose_the_source():
    by_id = "/dev/v4l/by-id/usb-Cam-video-index0"
    assert isinstance(make_source(CameraParams(device=by_id)), V4l2Source)
    assert isinstance(make_source(CameraParams(device=by_id, backend="opencv")), OpenCvSource)
    assert isinstance(make_source(CameraParams(backend="drawn")), Paced)
    for backend in ("v4l2", "opencv", "recorded"):
        with pytest.raises(ConfigError, match="device"):
            make_source(CameraParams(backend=backend))
    with pytest.raises(ConfigError, match="tomorrow"):
        make_source(CameraParams(device="/dev/video0"))


@pytest.mark.parametrize(("rate", "max_silence"), [(5, 0.3), (30, 0.06), (1, 1.9)])
def test_a_limit_that_a_good_camera_would_break_is_refused(rate, max_silence):
    with pytest.raises(ConfigError, match="less than two frames"):
        CameraParams(rate=rate, max_silence=max_silence)


def test_a_camera_process_loads_no_torch_and_no_policy():
    code = (
        "import sys, camera_node.camera, camera_node.source_choice, camera_node.view\n"
        "import importlib.util\n"
        "if importlib.util.find_spec('rclpy'): import camera_node.node\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'mujoco', 'lerobot')"
        " or m.startswith('so101.policies')])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["[]"]
