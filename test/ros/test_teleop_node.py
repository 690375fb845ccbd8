"""The teleop node among messages: what it says while a pad is held, pulled out and silent."""

import os
import struct
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from so101.clock import CONTROL_GRID
from so101.devices.sticks import Sticks
from so101.episode import ControlSource, EpisodeFacts, EpisodeState
from so101.errors import ConfigError
from so101.events import ControlEvent, EpisodeEvent
from so101.robot import so101
from so101.ros.convert import from_joint_trajectory, stamp_of, to_joint_command
from so101.ros.endpoints import Endpoints
from so101.ros.joy import to_joy
from so101.ros.spin import Spinner, wait_for_matched
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    JOY,
    TELEOP_ALIVE,
    TELEOP_TRAJECTORY,
)
from teleop_node.node import TeleopNode

HOME = so101().home
HOLD_S = 0.15
KEYS_IDLE = Sticks(axes=(0.0,) * 6, buttons=(False,) * 3)
KEYS_AWAY = Sticks(axes=(1.0,) + (0.0,) * 5, buttons=(True, False, False))


class Robot:
    """Everybody else: an arm that goes where it is told, an arbiter that says yes, and ears."""

    def __init__(self, node, spinner):
        self.node, self.spinner = node, spinner
        self.endpoints = Endpoints(node)
        self.endpoints.offer(JOINT_COMMANDS, CONTROL_SOURCE, EPISODE, JOY)
        self.publishers = list(self.endpoints._publishers.values())
        self.endpoints.listen(TELEOP_TRAJECTORY, self._on_trajectory)
        self.endpoints.listen(TELEOP_ALIVE, self._on_alive)
        self.endpoints.trigger("intervention/take_over", self._on_take_over)
        self.command, self.tick = HOME, 0
        self.wishes, self.words, self.stamps = [], [], []
        self.word_s, self.asked = None, 0

    def _on_trajectory(self, message):
        self.wishes.append(from_joint_trajectory(message))

    def _on_alive(self, message):
        if message.frame_id and not (self.words and self.words[-1]):
            self.word_s = time.monotonic()
        self.words.append(message.frame_id)
        self.stamps.append(stamp_of(message))

    def _on_take_over(self):
        self.asked += 1
        return "yes"

    @property
    def stamp_ns(self):
        return CONTROL_GRID.stamp(self.tick)

    def control(self, source, is_taken_over=True):
        event = ControlEvent(stamp_ns=self.stamp_ns, source=source, is_taken_over=is_taken_over)
        self.endpoints.tell(CONTROL_SOURCE, event)

    def step(self, ticks=1, joy=None):
        for _ in range(ticks):
            self.tick += 1
            if joy is not None:
                self.endpoints.publish(JOY, to_joy(0, joy))
            self.endpoints.publish(JOINT_COMMANDS, to_joint_command(self.stamp_ns, self.command))
            self.spinner.spin_for(1.0 / 60.0)

    def step_until(self, holds, joy=None):
        for _ in range(600):
            if holds():
                return
            self.step(joy=joy)
        raise AssertionError((self.words[-3:], len(self.wishes)))


@pytest.fixture
def make_robot(ros_context, make_node):
    ends = []

    def make(**values):
        parameters = [Parameter(name.replace("__", "."), value=v) for name, v in values.items()]
        node = TeleopNode(
            context=ros_context, use_global_arguments=False, parameter_overrides=parameters
        )
        other = make_node("robot")
        spinner = Spinner(node, other)
        ends.append((spinner, node))
        robot = Robot(other, spinner)
        offered = [p for p in robot.publishers if p.topic_name != "/joy" or "joy" in str(values)]
        wait_for_matched(spinner, offered, other.subscriptions)
        return robot

    yield make
    for spinner, node in ends:
        spinner.close()
        node.destroy_node()


@pytest.fixture
def pad(tmp_path):
    path = tmp_path / "js0"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    for number in range(8):
        os.write(descriptor, struct.pack("<IhBB", 0, 0, 0x81, number))

    def send(value, kind, number):
        os.write(descriptor, struct.pack("<IhBB", 0, value, kind, number))

    return SimpleNamespace(path=path, send=send, pull_out=lambda: os.close(descriptor))


@pytest.mark.case(25)
def test_a_pad_that_is_pulled_out_with_its_stick_pushed(make_robot, pad):
    robot = make_robot(device="gamepad", pad__path=str(pad.path))
    robot.step_until(lambda: robot.words and robot.words[-1] == "")
    robot.control(ControlSource.TELEOP)
    pad.send(-32767, 2, 1)
    robot.step(10)
    assert robot.wishes == []  # without the dead man's button
    pad.send(1, 1, 4)
    robot.step_until(lambda: len(robot.wishes) > 5)
    last = robot.wishes[-1]
    assert 0 < robot.stamp_ns - last.stamp_ns + 1 < 10 * CONTROL_GRID.stamp(1)
    assert np.abs(last.positions[0] - HOME).max() > 0.01
    pad.pull_out()
    lost_s = time.monotonic()
    robot.step_until(lambda: robot.words[-1] != "")
    assert robot.word_s - lost_s < HOLD_S
    assert "js0: gone: it was closed" in robot.words[-1]
    sent = len(robot.wishes)
    robot.step(10)
    assert len(robot.wishes) == sent


@pytest.mark.case(25)
def test_a_silent_joy_node(make_robot):
    robot = make_robot(device="joy", pad__layout="keyboard")
    robot.control(ControlSource.TELEOP)
    robot.step_until(lambda: robot.words and robot.words[-1] == "", joy=KEYS_IDLE)
    robot.step_until(lambda: len(robot.wishes) > 5, joy=KEYS_AWAY)
    lost_s = time.monotonic()
    robot.step_until(lambda: robot.words[-1] != "")
    assert robot.word_s - lost_s < HOLD_S
    assert "silent" in robot.words[-1]
    sent = len(robot.wishes)
    robot.step(10)
    assert len(robot.wishes) == sent
    robot.step(10, joy=KEYS_AWAY)  # held all along: it does not count
    assert robot.words[-1] == "" and len(robot.wishes) == sent


def test_a_button_asks_for_control_once(make_robot):
    robot = make_robot(device="keyboard")
    robot.step_until(lambda: robot.words and robot.words[-1] == "", joy=KEYS_IDLE)
    taking = Sticks(axes=(0.0,) * 6, buttons=(False, True, False))
    robot.step_until(lambda: robot.asked, joy=taking)
    robot.step(10, joy=taking)
    assert robot.asked == 1


def test_the_last_word_of_a_demonstration(make_robot):
    robot = make_robot(device="keyboard")
    facts = EpisodeFacts(id="e", source="teleop")
    for state in (EpisodeState.RUNNING, EpisodeState.SUCCEEDED):
        event = EpisodeEvent(stamp_ns=123_456_789, state=state, facts=facts)
        robot.endpoints.tell(EPISODE, event)
        robot.spinner.spin_for(0.05)
    assert robot.words.count("") == 1  # no keyboard: every other one says why
    assert robot.stamps[robot.words.index("")] == 123_456_789


def test_a_leader_without_a_port_is_refused(ros_context):
    parameters = [Parameter("device", value="leader")]
    with pytest.raises(ConfigError, match=r"leader\.port: empty"):
        TeleopNode(context=ros_context, use_global_arguments=False, parameter_overrides=parameters)
