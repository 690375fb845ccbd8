"""`so101 doctor` on cameras: what is plugged in, what delivers, and what may be swapped."""

from pathlib import Path

import numpy as np
import pytest
from camera_scenes import WANTED, Clock, ScriptedSource
from fake_v4l2 import FakeDriver

from camera_node.camera import Camera
from camera_node.devices import StableName
from camera_node.view import save_view, view_of
from camera_node.watchdog import WatchdogConfig
from so101.errors import ConfigError
from so101_bringup import cli
from so101_bringup.doctor.camera_file import named_cameras
from so101_bringup.doctor.cameras import (
    check_camera,
    check_devices,
    check_order,
    look_around,
    watch,
)

BY_ID = StableName(path=Path("/dev/v4l/by-id/cam-video-index0"), target=Path("/dev/video0"))
BY_PATH = StableName(path=Path("/dev/v4l/by-path/usb-1"), target=Path("/dev/video0"))


class SlowClock(Clock):
    """Every look at it takes a period of a camera at so many Hz."""

    def __init__(self, rate_hz):
        super().__init__()
        self.period_ns = round(1e9 / rate_hz)

    def __call__(self):
        return self.now_ns


class PacedSource(ScriptedSource):
    """Delivers one picture per read, and time passes with it."""

    def read(self, timeout_s):
        self.now_ns.now_ns += self.now_ns.period_ns
        return super().read(timeout_s)


def watched(mood="live", rate_hz=30):
    clock = SlowClock(rate_hz)
    source = PacedSource(clock)
    source.mood = mood
    camera = Camera(source, WatchdogConfig(wanted=WANTED), clock, lambda words: None)
    found = watch({"wrist": camera}, clock)["wrist"]
    assert not source.is_open
    return found


def test_a_camera_is_listed_once_by_its_best_name_with_what_it_offers():
    (device,) = look_around([BY_ID, BY_PATH], FakeDriver())
    (found,) = check_devices([device])
    assert found.is_fine
    assert f"{BY_ID.path} (Fake Camera): MJPG 640x480 (30, 15 Hz)" in found.text


def test_a_device_without_pictures_is_left_out_and_closed():
    driver = FakeDriver()
    driver.capabilities = 0
    assert look_around([BY_ID], driver) == []
    assert not driver.descriptors


def test_a_camera_without_jpegs_needs_the_other_backend():
    (found,) = check_devices(look_around([BY_ID], FakeDriver({"YUYV": {(640, 480): [30]}})))
    assert "backend: opencv" in found.advice


def test_a_camera_that_may_not_be_opened_names_the_group():
    class Locked(FakeDriver):
        def open(self, path):
            raise PermissionError(13, "Permission denied")

    (found,) = check_devices(look_around([BY_PATH], Locked()))
    assert "may not be opened" in found.text and "aG video" in found.advice


def test_no_camera_is_no_problem():
    assert [one.is_fine for one in check_devices([])] == [True]


def test_a_camera_at_its_rate_is_fine():
    found = check_camera("wrist", WANTED, watched())
    assert found.is_fine and found.name == "camera wrist"
    assert found.numbers["rate_hz"] == pytest.approx(30, abs=0.5)


@pytest.mark.parametrize(
    ("mood", "text", "advice"),
    [
        ("frozen", "frozen: the same picture", "cable"),
        ("cut", "damaged: a truncated JPEG", "socket"),
        ("unplugged", "absent: wrist cam: not plugged in", "plug it in"),
        ("another", "it would give 320x240", "change its section"),
    ],
)
def test_what_is_wrong_with_a_camera(mood, text, advice):
    found = check_camera("wrist", WANTED, watched(mood))
    assert text in found.text
    assert advice in found.advice


def test_a_slow_camera_is_told_of_light_and_sockets():
    found = check_camera("wrist", WANTED, watched(rate_hz=12))
    assert "gives 12.0 Hz" in found.text
    assert "light" in found.advice


def test_the_order_of_cameras():
    assert check_order("wrist", "", is_remembered=True).is_fine
    unknown = check_order("wrist", "", is_remembered=False)
    assert unknown.is_fine and "remember_view" in unknown.text
    swapped = check_order("wrist", "sees what the front camera saw", is_remembered=True)
    assert not swapped.is_fine and swapped.name == "view wrist"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_names_cameras_set_as_in_a_graph(tmp_path):
    file = write(
        tmp_path / "mine.yaml",
        "/**/wrist_camera: {ros__parameters: {device: /dev/v4l/by-id/w, use_sim_time: true}}\n"
        "/left/front_camera: {ros__parameters: {width: 800, height: 600}}\n"
        "policy_node: {ros__parameters: {seed: 1}}\n",
    )
    found = named_cameras(file)
    assert {name: (one.camera, one.width, one.height) for name, one in found.items()} == {
        "wrist": ("wrist", 320, 240),
        "front": ("front", 800, 600),
    }


@pytest.mark.parametrize(
    "text", ["wrist_camera: {ros__parameters: {devise: /dev/x}}", "[1]", "wrist_camera: ["]
)
def test_a_file_with_a_mistake_is_refused_by_name(tmp_path, text):
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        named_cameras(write(tmp_path / "mine.yaml", text))


def test_cameras_of_a_file_are_watched_and_compared_with_what_they_saw(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("wrist", "front"):
        pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        save_view(tmp_path / "views", view_of(name, "", pixels))
    drawn = f"{{backend: drawn, width: 64, height: 48, views: {tmp_path}/views}}"
    file = write(
        tmp_path / "mine.yaml",
        f"wrist_camera: {{ros__parameters: {drawn}}}\n"
        "front_camera: {ros__parameters: {device: /dev/video0}}\n",
    )
    assert cli.main(["doctor", "--params-file", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    (wrist,) = [line for line in lines if " camera wrist " in line]
    assert wrist.startswith("fine") and "asked for 64x48 at 30 Hz" in wrist
    assert any(line.startswith("fine     view wrist") for line in lines)
    (front,) = [line for line in lines if " camera front " in line]
    assert front.startswith("PROBLEM") and "/dev/video0 may be another camera tomorrow" in front
