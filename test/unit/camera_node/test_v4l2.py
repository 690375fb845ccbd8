"""The reader of kernel cameras against a driver that keeps the kernel's rules."""

import errno
import os
from ctypes import c_int32

import numpy as np
import pytest
from fake_v4l2 import FakeDriver

from camera_node import v4l2_abi as abi
from camera_node.kernel import LinuxKernel
from camera_node.source import Wanted
from camera_node.v4l2 import BUFFERS, V4l2Source
from so101.errors import ConfigError, HardwareError
from so101.images import encode_jpeg

WANTED = Wanted(height=480, width=640, rate_hz=30)
NAME = "/dev/v4l/by-id/usb-Maker_Cam_1-video-index0"


def jpeg_of(number):
    rng = np.random.default_rng(number)
    return encode_jpeg(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))


def source_of(driver, wanted=WANTED, path="/dev/video2"):
    return V4l2Source(NAME, wanted, kernel=driver, find=lambda name: path)


def test_frames_pass_through_byte_by_byte_with_the_drivers_time():
    driver = FakeDriver()
    source = source_of(driver)
    assert "Fake Camera" in source.open() and driver.opened == ["/dev/video2"]
    for number in range(3 * BUFFERS):  # each buffer several times
        captured_ns = 7_123_456_000 + number * 33_333_000
        driver.deliver(jpeg_of(number), captured_ns)
        frame = source.read(0.0)
        assert frame.jpeg == jpeg_of(number)
        assert (frame.captured_ns, frame.lost, frame.problem) == (captured_ns, 0, "")
    assert source.read(0.0) is None


def test_what_waited_comes_in_order_and_what_had_no_room_is_counted():
    driver = FakeDriver()
    source = source_of(driver)
    source.open()
    kept = [driver.deliver(jpeg_of(n), 1_000_000 * (n + 1)) for n in range(BUFFERS + 2)]
    assert kept == [True] * BUFFERS + [False] * 2
    frames = [source.read(0.0) for _ in range(BUFFERS)]
    assert [f.captured_ns for f in frames] == [1_000_000 * (n + 1) for n in range(BUFFERS)]
    driver.deliver(jpeg_of(9), 99_000_000)
    assert source.read(0.0).lost == 2


def test_a_frame_that_the_driver_calls_damaged_is_handed_on_as_that():
    driver = FakeDriver()
    source = source_of(driver)
    source.open()
    driver.deliver(jpeg_of(0)[:100], 1_000_000, flags=abi.FLAG_ERROR)
    assert source.read(0.0).problem


@pytest.mark.case(30)
@pytest.mark.parametrize(
    ("offers", "wanted", "words"),
    [
        ({"MJPG": {(320, 240): [30]}}, WANTED, ("640x480", "320x240", "MJPG 320x240 (30 Hz)")),
        ({"YUYV": {(640, 480): [30]}}, WANTED, ("would give 640x480 YUYV", "YUYV 640x480")),
        ({"MJPG": {(640, 480): [15, 10]}}, WANTED, ("15 Hz", "MJPG 640x480 (15, 10 Hz)")),
    ],
)
def test_a_camera_that_would_give_something_else_is_refused_and_closed(offers, wanted, words):
    driver = FakeDriver(offers)
    with pytest.raises(ConfigError) as caught:
        source_of(driver, wanted).open()
    assert all(word in str(caught.value) for word in (NAME, *words))
    assert not driver.descriptors and "STREAMON" not in driver.calls


def test_a_device_that_delivers_no_video_is_refused():
    driver = FakeDriver()
    driver.capabilities = abi.CAP_STREAMING  # as the second device of a camera, for metadata
    with pytest.raises(ConfigError, match="delivers no video"):
        source_of(driver).open()


def test_a_driver_without_a_say_in_its_rate_is_taken():
    driver = FakeDriver()
    driver.has_rates = False
    assert "rate not known" in source_of(driver).open()


def test_too_few_buffers_are_refused():
    driver = FakeDriver(buffers=1)
    with pytest.raises(HardwareError, match="only 1 buffers"):
        source_of(driver).open()


def test_stamps_of_another_clock_are_refused_not_guessed():
    driver = FakeDriver()
    driver.stamps = 0x4000
    source = source_of(driver)
    source.open()
    driver.deliver(jpeg_of(0), 1_000_000)
    with pytest.raises(HardwareError, match="monotonic clock"):
        source.read(0.0)


def test_a_camera_that_another_program_has_says_so():
    driver = FakeDriver()
    driver.is_busy = True
    with pytest.raises(HardwareError, match="in use by another program"):
        source_of(driver).open()


@pytest.mark.case(29)
def test_unplugged_while_streaming_and_found_again_at_another_number():
    driver = FakeDriver()
    places = ["/dev/video2"]
    source = V4l2Source(NAME, WANTED, kernel=driver, find=lambda name: places[-1])
    source.open()
    driver.unplug()
    with pytest.raises(HardwareError, match="unplugged"):
        source.read(0.0)
    with pytest.raises(HardwareError):
        source.open()
    driver.replug()
    places.append("/dev/video5")
    source.open()
    driver.deliver(jpeg_of(1), 1_000_000)
    assert source.read(0.0).jpeg == jpeg_of(1)
    assert driver.opened == ["/dev/video2", "/dev/video5"]
    source.close()
    source.close()
    assert not driver.descriptors
    with pytest.raises(HardwareError, match="not open"):
        source.read(0.0)


def test_the_real_calls_reach_the_kernel(tmp_path):
    """On a file that is no camera Linux answers ENOTTY: path, request and argument are passed."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 8192)
    kernel = LinuxKernel()
    descriptor = kernel.open(str(path))
    try:
        for request, argument in (
            (abi.QUERYCAP, abi.Capability()),
            (abi.STREAMON, c_int32(1)),
        ):
            with pytest.raises(OSError, match="Inappropriate") as caught:
                kernel.ioctl(descriptor, request, argument)
            assert caught.value.errno == errno.ENOTTY
        memory = kernel.mmap(descriptor, 4096, 4096)
        assert memory[:4] == b"xxxx"
        memory.close()
        assert kernel.wait(descriptor, 0.0)
    finally:
        kernel.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    with pytest.raises(HardwareError, match="Inappropriate"):
        V4l2Source(str(path), WANTED, find=str).open()
