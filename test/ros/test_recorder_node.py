"""The recorder as a node: bags of two episodes and of a restart, its word on `diagnostics`."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from recorder_node.losses import SequenceCounter
from recorder_node.node import RecorderNode
from recorder_node.stream_counts import NAME
from so101.clock import CONTROL_GRID
from so101.data.bags.bag import open_bag
from so101.data.bags.messages import decode as decode_message
from so101.data.episodes.episode_reader import read_episodes
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import ControlSource, EpisodeFacts, EpisodeState, Outcome
from so101.events import ControlEvent, EpisodeEvent, RewardEvent, decode, from_message
from so101.images import encode_jpeg
from so101.raw_images import raw_image
from so101.ros import qos
from so101.ros import taps as taps_module
from so101.ros.convert import to_event, to_image, to_joint_command, to_text
from so101.ros.endpoints import Endpoints
from so101.ros.raw_images import from_raw_image, to_raw_image
from so101.ros.spin import Spinner, wait_for_matched
from so101.ros.taps import Tapped, Taps, in_order
from so101.status_events import RecorderStatus
from so101.topics import (
    CONTROL_SOURCE,
    DIAGNOSTICS,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    RECORDER_STATUS,
    REWARD,
    ROBOT_DESCRIPTION,
    TASK,
    TELEOP_TRAJECTORY,
    image_topic,
    raw_image_topic,
)

TICKS = 20
LATCHED = (TASK, EPISODE, CONTROL_SOURCE, ROBOT_DESCRIPTION)
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


class Robot:
    """Everybody else: publishes what a graph does and hears what the recorder says."""

    def __init__(self, node, cameras=()):
        self.endpoints = Endpoints(node)
        self.cameras = cameras
        images = [make(c) for c in cameras for make in (image_topic, raw_image_topic)]
        self.endpoints.offer(JOINT_STATES, JOINT_COMMANDS, REWARD, *LATCHED, *images)
        self.publishers = list(self.endpoints._publishers.values())
        self.told, self.streams = [], []
        self.endpoints.hear(RECORDER_STATUS, RecorderStatus, self.told.append)
        self.endpoints.listen(DIAGNOSTICS, self._on_diagnostics)
        self.tick = 0
        self.endpoints.publish(TASK, to_text("pick"))
        self.endpoints.publish(ROBOT_DESCRIPTION, to_text("<robot/>"))
        control = ControlEvent(stamp_ns=0, source=ControlSource.TELEOP)
        self.endpoints.publish(CONTROL_SOURCE, to_event(control.to_event()))

    def _on_diagnostics(self, message):
        event = from_message(message)
        if event.name == NAME:
            self.streams.append(event)

    def enter(self, state, name):
        facts = EpisodeFacts(id=name, phase="demonstrations", source="none")
        stamp_ns = CONTROL_GRID.stamp(self.tick)
        self.endpoints.tell(EPISODE, EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=facts))

    def step(self):
        stamp_ns = CONTROL_GRID.stamp(self.tick)
        for topic in (JOINT_STATES, JOINT_COMMANDS):
            self.endpoints.publish(topic, to_joint_command(stamp_ns, [0.1] * 6))
        for camera in self.cameras:
            jpeg = to_image(stamp_ns, camera, encode_jpeg(PIXELS))
            self.endpoints.publish(image_topic(camera), jpeg)
            raw = to_raw_image(stamp_ns, camera, PIXELS)
            self.endpoints.publish(raw_image_topic(camera), raw)
        reward = RewardEvent(
            stamp_ns=stamp_ns, reward=0.0, success_probability=0.0, terminated=False
        )
        self.endpoints.tell(REWARD, reward)
        self.tick += 1

    def run(self, spinner, name):
        self.enter(EpisodeState.RUNNING, name)
        for _ in range(TICKS):
            self.step()
            spinner.spin_for(0.002)
        self.enter(EpisodeState.SUCCEEDED, name)
        self.step()
        assert spinner.spin_until(lambda: any(s.episode == name for s in self.told), 10.0)


@pytest.fixture
def make_recorder(ros_context, tmp_path):
    recorders = []

    def make(**values):
        while recorders:
            recorders.pop().destroy_node()
        given = {"store": str(tmp_path), "cameras": [""], "has_objects": False, **values}
        overrides = [Parameter(key, value=value) for key, value in given.items()]
        options = {"context": ros_context, "use_global_arguments": False}
        recorders.append(RecorderNode(parameter_overrides=overrides, **options))
        return recorders[-1]

    yield make
    while recorders:
        recorders.pop().destroy_node()


def meet(recorder, robot, node):
    """Wait as a session does: until all have found each other, and what is latched has come."""
    spinner = Spinner(recorder, node)
    wait_for_matched(spinner, robot.publishers)
    known = recorder._recorder._intake.latched
    assert spinner.spin_until(lambda: {TASK.name, ROBOT_DESCRIPTION.name} <= {*known}, 10.0)
    assert spinner.spin_until(lambda: CONTROL_SOURCE.name in known, 10.0)
    return spinner


def test_two_episodes_and_a_restart_have_every_latched_topic(make_recorder, make_node, tmp_path):
    node = make_node("robot")
    robot = Robot(node)
    recorder = make_recorder()
    spinner = meet(recorder, robot, node)
    robot.run(spinner, "demo-0000")
    robot.run(spinner, "demo-0001")
    assert spinner.spin_until(lambda: len(robot.streams) >= 2, 5.0)
    spinner.close()
    again = make_recorder()
    spinner = meet(again, robot, node)
    robot.run(spinner, "demo-0002")
    spinner.close()
    assert [(s.state, s.missing) for s in robot.told] == [("saved", 0)] * 3
    entries = EpisodeStore(tmp_path).episodes()
    assert len(entries) == 3
    for entry in entries:
        counts = open_bag(entry.path).counts()
        said = {topic.name: counts[f"/{topic.name}"] for topic in LATCHED}
        assert all(said.values()), (entry.facts.id, said)
        assert counts["/joint_states"] == TICKS + 1


def test_diagnostics_tell_how_every_stream_goes(make_recorder, make_node):
    node = make_node("robot")
    robot = Robot(node)
    spinner = meet(make_recorder(), robot, node)
    robot.run(spinner, "demo-0000")
    count = len(robot.streams)
    assert spinner.spin_until(lambda: len(robot.streams) > count, 5.0)
    event = robot.streams[-1]
    assert decode(event, "joint_states: messages", int) == TICKS + 1
    assert decode(event, "joint_states: lost", int) == 0
    assert 0.0 <= decode(event, "joint_states: age [s]", float) < 5.0
    assert decode(event, "joint_states: bytes", int) > 100 * TICKS
    assert decode(event, "joint_states: rate [Hz]", float) >= 0.0
    assert decode(event, "free [GB]", float) > 0.0
    assert event.message == "waiting"
    spinner.close()


def test_raw_frames_are_in_a_bag_and_are_read_as_they_were_sent(
    make_recorder, make_node, tmp_path
):
    node = make_node("robot")
    robot = Robot(node, cameras=("front",))
    spinner = meet(make_recorder(cameras=["front"], images="both"), robot, node)
    robot.run(spinner, "demo-0000")
    spinner.close()
    (entry,) = EpisodeStore(tmp_path).episodes()
    bag = open_bag(entry.path)
    raw = bag.messages(["/front_camera/image_raw"])
    assert len(raw) == len(bag.messages(["/front_camera/image_raw/compressed"])) == TICKS + 1
    for message in raw:
        frame = decode_message(message.data, "sensor_msgs/msg/Image", "bag")
        np.testing.assert_array_equal(raw_image(frame), PIXELS)


def test_everything_goes_into_one_bag(make_recorder, make_node, tmp_path):
    node = make_node("robot")
    robot = Robot(node)
    recorder = make_recorder(continuous=True)
    spinner = meet(recorder, robot, node)
    robot.run(spinner, "demo-0000")
    robot.run(spinner, "demo-0001")
    recorder._recorder.abort()
    spinner.close()
    assert [s.state for s in robot.told] == ["saved"] * 2
    (entry,) = EpisodeStore(tmp_path).episodes()
    found = read_episodes(entry.path)
    assert [(e.facts.id, e.outcome) for e in found] == [
        ("demo-0000", Outcome.SUCCESS),
        ("demo-0001", Outcome.SUCCESS),
    ]


def test_what_the_middleware_drops_is_counted(make_node):
    """More messages than the queue is deep, before anybody takes one."""
    node = make_node("sender")
    endpoints = Endpoints(node)
    endpoints.offer(JOINT_COMMANDS)
    taps = Taps(make_node("recorder"), (JOINT_COMMANDS,))
    spinner = Spinner(node)
    wait_for_matched(spinner, [endpoints._publishers[JOINT_COMMANDS.name]])
    counter, lost, taken = SequenceCounter(), 0, 0

    def take():
        nonlocal lost, taken
        for message in taps.drain(time.time_ns()):
            lost += counter.gap(message.topic.name, message.publisher, message.sequence)
            taken += 1

    endpoints.publish(JOINT_COMMANDS, to_joint_command(1, [0.0] * 6))
    assert spinner.spin_until(lambda: (take(), taken)[1] == 1, 5.0)
    sent = qos.DEEP + 500
    for k in range(sent):
        endpoints.publish(JOINT_COMMANDS, to_joint_command(k + 2, [0.0] * 6))
    spinner.spin_until(lambda: (take(), taken + lost)[1] >= 1 + sent, 5.0)
    assert taken + lost == 1 + sent
    assert lost > 0
    spinner.close()
    taps.close()


def test_queues_of_raw_frames_are_short():
    raw = raw_image_topic("front")
    for profile in (qos.publisher_qos(raw), qos.subscriber_qos(raw, qos.deep(raw))):
        assert profile.depth == qos.HEAVY < qos.DEEP
    assert qos.deep(image_topic("front")) == qos.DEEP


def test_raw_frames_are_an_inverse_pair():
    stamp_ns, pixels = from_raw_image(to_raw_image(7, "front", PIXELS))
    assert stamp_ns == 7
    np.testing.assert_array_equal(pixels, PIXELS)


def tapped(topic, received_ns, sequence):
    return Tapped(topic, b"", received_ns, sequence, b"me")


@pytest.mark.case(41)
def test_a_clock_that_is_set_back_neither_holds_nor_reorders_messages(make_node, monkeypatch):
    hour = 3600 * 10**9
    before = [tapped(JOINT_STATES, 2 * hour + k, k) for k in range(5)]
    after = [tapped(JOINT_STATES, hour + k, 5 + k) for k in range(5)]
    other = [tapped(TELEOP_TRAJECTORY, hour + k, k) for k in range(3)]
    found = in_order([*before, *after, *other])
    assert [m.sequence for m in found if m.topic is JOINT_STATES] == list(range(10))
    taps = Taps(make_node("recorder"), (JOINT_STATES,))
    monkeypatch.setattr(taps_module, "_take_all", lambda _: [(b"", k) for k in range(10)])
    monkeypatch.setattr(taps_module, "_tapped", lambda topic, data, k: [*before, *after][k])
    assert len(taps.drain(hour + 10)) == 10  # set back just before: nothing waits for an hour
    taps.close()
