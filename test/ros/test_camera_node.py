"""A camera node among messages: what it publishes, when it falls silent, what it says."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from camera_scenes import WANTED, ScriptedSource, picture
from rclpy.parameter import Parameter

from camera_node.node import LOOKS, CameraNode
from camera_node.view import save_view, view_of
from policy_node.loader import Loaded
from policy_node.node import PolicyNode
from so101.arm import ArmState
from so101.clock import CONTROL_GRID
from so101.episode import EpisodeFacts, EpisodeState
from so101.errors import ConfigError
from so101.events import ERROR, EpisodeEvent, from_message
from so101.images import decode_image, encode_jpeg
from so101.objections import NO_ARMING, NO_EPISODE
from so101.policies.hold_policy import HoldPolicy
from so101.ros.convert import (
    from_image,
    from_joint_trajectory,
    stamp_of,
    to_joint_command,
    to_joint_state,
)
from so101.ros.endpoints import Endpoints
from so101.ros.health import Roll
from so101.ros.raw_images import from_raw_image
from so101.ros.spin import Spinner, wait_for_matched
from so101.ros.timing import graph_clock
from so101.status_events import PolicyInfo
from so101.topics import (
    DIAGNOSTICS,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    POLICY_INFO,
    POLICY_TRAJECTORY,
    camera_info_topic,
    image_topic,
    raw_image_topic,
)

IMAGE = image_topic("wrist").name
SIZE = {"width": WANTED.width, "height": WANTED.height}
CALIBRATION = {
    "image_width": 64,
    "image_height": 48,
    "camera_name": "wrist",
    "camera_matrix": {"rows": 3, "cols": 3, "data": [60.0, 0, 32, 0, 61.0, 24, 0, 0, 1.0]},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, 0, 0, 0, 0]},
    "rectification_matrix": {"rows": 3, "cols": 3, "data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    "projection_matrix": {"rows": 3, "cols": 4, "data": [60, 0, 32, 0, 0, 61, 24, 0, 0, 0, 1, 0]},
}


class Watcher:
    """A camera node, and everything that it says."""

    def __init__(self, node, other):
        self.node, self.spinner = node, Spinner(node, other)
        self.images, self.infos, self.raws, self.reports = [], [], [], []
        self.arrivals_s = []
        self.roll = Roll((node.get_name(),))
        endpoints = Endpoints(other)
        endpoints.listen(image_topic("wrist"), self._on_image)
        endpoints.listen(camera_info_topic("wrist"), self.infos.append)
        if any(p.topic_name.endswith("/image_raw") for p in node.publishers):
            endpoints.listen(raw_image_topic("wrist"), self.raws.append)
        endpoints.listen(DIAGNOSTICS, self._on_report)
        wait_for_matched(self.spinner, subscriptions=other.subscriptions)

    def _on_image(self, message):
        self.images.append(from_image(message))
        self.arrivals_s.append(time.monotonic())

    def _on_report(self, message):
        self.roll.on_diagnostics(message)
        event = from_message(message)
        if event.name.endswith(": camera"):
            self.reports.append(event)

    def until(self, holds, timeout_s=20.0):
        end_s = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < end_s, self.reports[-1:]
            self.node.step()
            self.spinner.spin_for(0.005)

    def until_live(self):
        before = len(self.images)
        self.until(lambda: len(self.images) > before + 3)

    def until_said(self, word):
        self.until(lambda: self.reports and word in self.reports[-1].message)
        return self.reports[-1]


@pytest.fixture
def watch(ros_context, make_node):
    started = []

    def watch(source=None, **values):
        values = {"camera": "wrist", **SIZE, **values}
        parameters = [Parameter(name, value=value) for name, value in values.items()]
        node = CameraNode(
            source=source,
            context=ros_context,
            use_global_arguments=False,
            parameter_overrides=parameters,
        )
        watcher = Watcher(node, make_node("watcher"))
        started.append(watcher)
        return watcher

    yield watch
    for watcher in started:
        watcher.spinner.close()
        watcher.node.destroy_node()


@pytest.fixture
def source():
    return ScriptedSource(time.monotonic_ns)


def test_a_frame_comes_as_the_camera_made_it_with_its_time_and_calibration(watch, tmp_path):
    (tmp_path / "wrist.yaml").write_text(json.dumps(CALIBRATION))
    source = ScriptedSource(lambda: time.monotonic_ns() - 20_000_000)
    watcher = watch(source, camera_info_url=f"file://{tmp_path}/wrist.yaml", raw_images=True)
    watcher.until_live()
    stamps = [stamp for stamp, _ in watcher.images]
    assert stamps == [stamp_of(info) for info in watcher.infos]
    assert [jpeg for _, jpeg in watcher.images] == [picture(n + 1) for n in range(len(stamps))]
    now_ns = graph_clock().now_ns()  # the clock of a real arm's stamps, too
    assert 20_000_000 <= now_ns - stamps[-1] < 1_000_000_000
    info = watcher.infos[0]
    assert (info.height, info.width, info.k[0], info.d[0]) == (48, 64, 60.0, 0.1)
    assert info.header.frame_id == "wrist_camera_optical_frame"
    stamp_ns, pixels = from_raw_image(watcher.raws[0])
    assert stamp_ns == stamps[0]
    np.testing.assert_array_equal(pixels, decode_image(watcher.images[0][1]))


def test_without_a_calibration_it_says_so_as_ros_does(watch, source):
    watcher = watch(source)
    watcher.until_live()
    assert watcher.infos[0].k[0] == 0.0 and watcher.infos[0].width == 64


@pytest.mark.case(28, 29, 30)
@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("frozen", "frozen: the same picture"),
        ("cut", "damaged: a truncated JPEG"),
        ("small", "damaged: 32x24 px instead of 64x48"),
        ("silent", "silent"),
        ("unplugged", "absent: wrist cam"),
    ],
)
def test_a_bad_camera_is_silent_says_so_and_comes_back(watch, source, mood, words):
    watcher = watch(source)
    watcher.until_live()
    watcher.until_said("live")
    source.mood = mood
    watcher.spinner.spin_for(0.05)
    began_s, sent = time.monotonic(), len(watcher.images)
    report = watcher.until_said(words)
    assert time.monotonic() - began_s < 0.5  # said at once, not only once a second
    assert report.level == ERROR
    assert len(watcher.images) == sent
    watcher.until(lambda: watcher.roll.is_complete)  # its other report is read as before
    source.mood = "live"
    watcher.until_live()
    watcher.until_said("live")


@pytest.mark.case(29)
def test_a_replugged_camera_is_opened_again(watch, source):
    watcher = watch(source)
    watcher.until_live()
    source.mood = "unplugged"
    watcher.until_said("absent")
    source.mood = "live"
    watcher.until_live()
    assert source.opened == 2


def test_recorded_images_are_played_and_a_directory_may_come_back(watch, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(picture(number))
    folder.rename(tmp_path / "away")
    watcher = watch(backend="recorded", device=str(folder))
    watcher.until_said("no such directory")
    (tmp_path / "away").rename(folder)
    watcher.until_live()
    assert [jpeg for _, jpeg in watcher.images[:3]] == [picture(n) for n in range(3)]


@pytest.mark.case(28)
def test_one_picture_over_and_over_is_a_frozen_camera(watch, tmp_path):
    (tmp_path / "only.jpg").write_bytes(picture(1))
    watcher = watch(backend="recorded", device=str(tmp_path))
    report = watcher.until_said("frozen")
    assert len(watcher.images) == 1
    assert report.hardware_id == str(tmp_path)


def test_drawn_images_arrive_at_their_rate(watch):
    watcher = watch(backend="drawn")
    watcher.until(lambda: len(watcher.images) > 40)
    steps = np.diff([stamp for stamp, _ in watcher.images])
    assert np.median(steps) == pytest.approx(1e9 / 30, rel=0.02)


def remember(folder, identities=("", "")):
    for number, camera in enumerate(("wrist", "front")):
        pixels = np.kron(
            np.random.default_rng(number).integers(0, 255, (8, 8, 3)), np.ones((6, 8, 1))
        ).astype(np.uint8)
        save_view(folder, view_of(camera, identities[number], pixels))


class Staring(ScriptedSource):
    """A camera that looks at what one of the remembered cameras looked at."""

    def __init__(self, now_ns, seen):
        super().__init__(now_ns)
        self.seen = seen

    def read(self, timeout_s):
        frame = super().read(timeout_s)
        blocks = np.random.default_rng(self.seen).integers(0, 255, (8, 8, 3))
        noise = np.random.default_rng(self.number).normal(0, 5, (48, 64, 3))
        image = np.clip(np.kron(blocks, np.ones((6, 8, 1))) + noise, 0, 255).astype(np.uint8)
        return replace(frame, jpeg=encode_jpeg(image))


@pytest.mark.case(31)
@pytest.mark.parametrize("refuses", [False, True])
def test_a_swapped_camera_is_warned_of_and_kept_back_when_asked(watch, tmp_path, refuses):
    remember(tmp_path)
    watcher = watch(Staring(time.monotonic_ns, 1), views=str(tmp_path), refuse_swapped=refuses)
    report = watcher.until_said("swapped? sees what the front camera saw")
    assert ("nothing is published" in report.message) == refuses
    against = report.values[NO_ARMING]
    assert against == report.values[NO_EPISODE]
    assert "the front camera" in against and "swap the two plugs" in against
    watcher.spinner.spin_for(0.1)
    assert bool(watcher.images) != refuses


def test_the_right_camera_passes_the_check(watch, tmp_path):
    remember(tmp_path)
    watcher = watch(Staring(time.monotonic_ns, 0), views=str(tmp_path), refuse_swapped=True)
    watcher.until_live()
    watcher.until_said("live")
    assert "swapped" not in watcher.reports[-1].message
    assert "being compared" in watcher.reports[0].values[NO_ARMING]
    assert watcher.reports[-1].values[NO_ARMING] == watcher.reports[-1].values[NO_EPISODE] == ""


def test_a_view_is_remembered_when_asked(watch, source, tmp_path):
    watcher = watch(source, views=str(tmp_path / "views"), remember_view=True)
    watcher.until(lambda: (tmp_path / "views" / "wrist.json").exists())
    assert source.number >= LOOKS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"camera": ""}, "camera: name"),
        ({"device": "/dev/video0"}, "/dev/video0"),
        ({"refuse_swapped": True, "backend": "drawn"}, "views"),
        ({"camera_info_url": "file:///absent.yaml", "backend": "drawn"}, "absent.yaml"),
    ],
)
def test_what_a_person_must_put_right_ends_it_before_it_has_a_topic(watch, values, words):
    with pytest.raises(ConfigError, match=words):
        watch(**values)


def test_as_a_process_it_ends_with_2_and_one_line(ros_domain):
    arguments = ["--ros-args", "-r", "__node:=wrist_camera", "-p", "camera:=wrist"]
    done = subprocess.run(
        [sys.executable, "-m", "camera_node.node", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    (line,) = [one for one in done.stderr.splitlines() if "error" in one]
    assert "device" in line and "by id" in line


def test_as_a_process_it_delivers_and_ends_when_asked(ros_domain, make_node):
    stamps, other = [], make_node("ears")
    Endpoints(other).listen(image_topic("wrist"), lambda m: stamps.append(stamp_of(m)))
    command = [sys.executable, "-m", "camera_node.node", "--ros-args"]
    values = {"camera": "wrist", "backend": "drawn", "width": 64, "height": 48}
    command += [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    spinner = Spinner(other)
    try:
        assert spinner.spin_until(lambda: len(stamps) > 20, 30.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(10.0) == 0
    finally:
        process.kill()
        process.communicate()
        spinner.close()
    assert stamps == sorted(set(stamps))


class Arm(Watcher):
    """A robot that stands still, in an episode of a policy that looks through the camera."""

    def __init__(self, camera, policy_node, other):
        super().__init__(camera, other)
        self.spinner.close()
        self.spinner = Spinner(camera, policy_node, other)
        self.endpoints = Endpoints(other)
        self.endpoints.offer(JOINT_STATES, JOINT_COMMANDS, EPISODE)
        self.chunks, self.waits, self.tick = [], [], 0
        self.endpoints.listen(
            POLICY_TRAJECTORY, lambda m: self.chunks.append(from_joint_trajectory(m))
        )
        self.endpoints.hear(POLICY_INFO, PolicyInfo, lambda i: self.waits.append(i.waiting_for))
        publishers = list(self.endpoints._publishers.values())
        wait_for_matched(self.spinner, publishers, other.subscriptions)

    def step(self):
        """Publish the control ticks that have passed, on the grid of a real arm's clock."""
        self.node.step()
        now = CONTROL_GRID.floor(graph_clock().now_ns())
        for tick in range(max(self.tick, now - 3) + 1, now + 1):
            stamp_ns, pose = CONTROL_GRID.stamp(tick), np.zeros(6)
            state = ArmState(positions=pose, velocities=pose, effort=pose)
            self.endpoints.publish(JOINT_STATES, to_joint_state(stamp_ns, state))
            self.endpoints.publish(JOINT_COMMANDS, to_joint_command(stamp_ns, pose))
        self.tick = now
        self.spinner.spin_for(0.002)

    def until_step(self, holds):
        end_s = time.monotonic() + 20.0
        while not holds():
            assert time.monotonic() < end_s, (self.waits[-1:], self.reports[-1:])
            self.step()


@pytest.fixture
def make_arm(ros_context, make_node, source):
    nodes = []

    def make(kind, **values):
        parameters = [Parameter(name, value=value) for name, value in values.items()]
        options = {"context": ros_context, "use_global_arguments": False}
        extra = {"source": source} if kind is CameraNode else {}
        nodes.append(kind(**extra, **options, parameter_overrides=parameters))
        return nodes[-1]

    camera = make(CameraNode, camera="wrist", **SIZE)
    policy = make(PolicyNode, cameras=["wrist"], lockstep=False)
    arm = Arm(camera, policy, make_node("arm"))
    policy._succession.line_up(Loaded(path="here", sha256="a" * 64, policy=HoldPolicy()))
    yield arm
    arm.spinner.close()
    for node in nodes:
        node.destroy_node()


@pytest.mark.case(28, 29, 30)
@pytest.mark.parametrize("mood", ["frozen", "unplugged", "cut"])
def test_a_policy_plans_nothing_by_a_bad_camera_and_goes_on_with_a_good_one(
    make_arm, source, mood
):
    """Without a new chunk the arm loop holds when the last one is over: 16 points, 0.53 s."""
    arm = make_arm
    arm.until_step(lambda: arm.waits and arm.waits[-1] == "an episode")
    arm.until_step(lambda: len(arm.images) > 3)
    facts = EpisodeFacts(id="e", source="policy", checkpoint="a" * 64)
    for state in (EpisodeState.RESETTING, EpisodeState.RUNNING):
        stamp_ns = CONTROL_GRID.stamp(arm.tick)
        arm.endpoints.tell(EPISODE, EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=facts))
    arm.until_step(lambda: len(arm.chunks) >= 3)
    source.mood, bad_ns = mood, graph_clock().now_ns()
    arm.until_step(lambda: arm.waits[-1] == f"{IMAGE}: no image within 0.1 s of the tick")
    told_ns = graph_clock().now_ns()
    planned = len(arm.chunks)
    arm.until_step(lambda: graph_clock().now_ns() > told_ns + 600_000_000)
    assert len(arm.chunks) == planned
    assert arm.chunks[-1].stamp_ns <= bad_ns + 150_000_000  # by the last good image
    assert told_ns - bad_ns <= 1_000_000_000
    source.mood = "live"
    arm.until_step(lambda: len(arm.chunks) > planned + 2)
