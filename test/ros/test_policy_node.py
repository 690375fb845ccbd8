"""The policy node among messages: what it says while a policy thinks, hangs, fails and lies."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from policy_node.loader import Loaded
from policy_node.node import PolicyNode
from so101.arm import ArmState
from so101.clock import CONTROL_GRID
from so101.episode import EpisodeFacts, EpisodeState
from so101.errors import ServerLostError, ServerRefusedError
from so101.events import WARN, EpisodeEvent, from_message
from so101.images import encode_jpeg
from so101.policies.hold_policy import HoldPolicy
from so101.ros.convert import (
    from_joint_trajectory,
    to_image,
    to_joint_command,
    to_joint_state,
    to_poses,
)
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner, wait_for_matched
from so101.status_events import PolicyInfo
from so101.topics import (
    DIAGNOSTICS,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    POLICY_ALIVE,
    POLICY_INFO,
    POLICY_TRAJECTORY,
    image_topic,
)

SHA = "a" * 64
POSE = np.array([0.1, -0.2, 0.3, 0.4, 0.5, 0.6])
POSES = np.array([[0.2, 0.0, 0.01, 0.0, 0.0, 0.0, 1.0]])
HANGS_S = 0.3
JPEG = encode_jpeg(np.zeros((24, 32, 3), np.uint8))


class Moody(HoldPolicy):
    """A policy that does to each observation what is next on its list."""

    def __init__(self, *moods):
        super().__init__()
        self.moods = list(moods)
        self.may_go = threading.Event()
        self.seen = []

    def infer(self, observation, **options):
        mood = self.moods.pop(0) if self.moods else None
        self.seen.append(observation.stamp_ns)
        if mood == "hang":
            assert self.may_go.wait(20.0)
        if isinstance(mood, Exception):
            raise mood
        inference = super().infer(observation, **options)
        if mood == "nan":
            broken = inference.chunk.positions.copy()
            broken[5, 1] = np.nan
            inference = replace(inference, chunk=replace(inference.chunk, positions=broken))
        return inference


class Robot:
    """Everybody else: an arm that stands still, and ears."""

    def __init__(self, node, spinner):
        self.endpoints = Endpoints(node)
        self.endpoints.offer(JOINT_STATES, JOINT_COMMANDS, OBJECTS, EPISODE)
        self.publishers = list(self.endpoints._publishers.values())
        self.spinner, self.tick = spinner, 0
        self.chunks, self.infos, self.alive_s = [], [], []
        self.endpoints.listen(
            POLICY_TRAJECTORY, lambda m: self.chunks.append(from_joint_trajectory(m))
        )
        self.endpoints.hear(POLICY_INFO, PolicyInfo, self.infos.append)
        self.endpoints.listen(POLICY_ALIVE, lambda m: self.alive_s.append(time.monotonic()))

    def enter(self, state, name="e"):
        facts = EpisodeFacts(id=name, source="policy", checkpoint=SHA)
        stamp_ns = CONTROL_GRID.stamp(self.tick)
        self.endpoints.tell(EPISODE, EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=facts))
        self.spinner.spin_for(0.05)

    def step(self, ticks=1):
        """Let control ticks pass, each with everything that is published with it."""
        for _ in range(ticks):
            stamp_ns = CONTROL_GRID.stamp(self.tick)
            state = ArmState(positions=POSE, velocities=0 * POSE, effort=0 * POSE)
            self.endpoints.publish(JOINT_STATES, to_joint_state(stamp_ns, state))
            self.endpoints.publish(JOINT_COMMANDS, to_joint_command(stamp_ns, POSE))
            if self.tick % 2 == 0:
                self.endpoints.publish(OBJECTS, to_poses(stamp_ns, POSES))
            self.tick += 1
            self.spinner.spin_for(0.005)

    def shows(self, lag_ms, ticks):
        """Let ticks pass with images of two cameras, the front one's behind by so much."""
        for _ in range(ticks):
            stamp_ns = CONTROL_GRID.stamp(self.tick)
            for camera, lag in (("wrist", 0), ("front", lag_ms)):
                image = to_image(max(0, stamp_ns - lag * 1_000_000), camera, JPEG)
                self.endpoints.publish(image_topic(camera), image)
            self.step()

    def until(self, holds):
        assert self.spinner.spin_until(holds, 20.0), self.infos[-1:]

    def says(self, word):
        self.until(lambda: self.infos and word in self.infos[-1].waiting_for)
        return self.infos[-1]

    def is_silent_for(self, duration_s):
        self.spinner.spin_for(0.1)  # what was said before
        before = len(self.alive_s)
        self.spinner.spin_for(duration_s)
        return len(self.alive_s) == before

    def stamps(self):
        return [chunk.stamp_ns for chunk in self.chunks]


@pytest.fixture
def make_robot(ros_context, make_node):
    """Start a node whose policy is ready, in an episode of its own."""
    ends = []

    def make(policy, **values):
        values = {"cameras": [""], "uses_objects": True, "inference_timeout": HANGS_S, **values}
        parameters = [Parameter(name, value=value) for name, value in values.items()]
        node = PolicyNode(
            context=ros_context, use_global_arguments=False, parameter_overrides=parameters
        )
        other = make_node("robot")
        spinner = Spinner(node, other)
        robot = Robot(other, spinner)
        robot.node = node
        ends.append((policy, spinner, node))
        node._succession.line_up(Loaded(path="here", sha256=SHA, policy=policy))
        wait_for_matched(spinner, robot.publishers, other.subscriptions)
        robot.until(lambda: robot.infos and robot.infos[-1].checkpoint == SHA)
        robot.enter(EpisodeState.RESETTING)
        robot.enter(EpisodeState.RUNNING)
        return robot

    yield make
    for policy, spinner, node in ends:
        policy.may_go.set()
        spinner.close()
        node.destroy_node()


def test_it_signs_for_life_while_it_thinks_and_answers_once(make_robot):
    policy = Moody("hang")
    robot = make_robot(policy, inference_timeout=60.0)
    robot.step(4)
    robot.until(lambda: policy.seen)
    before = len(robot.alive_s)
    robot.until(lambda: len(robot.alive_s) > before + 3)
    assert robot.chunks == []
    policy.may_go.set()
    robot.until(lambda: robot.chunks)
    assert robot.stamps() == policy.seen == [0]
    np.testing.assert_array_equal(robot.chunks[0].positions, np.tile(POSE, (16, 1)))


def test_decisions_that_came_due_while_it_thought_are_counted_and_the_next_is_about_now(
    make_robot,
):
    policy = Moody("hang")
    robot = make_robot(policy, inference_timeout=60.0)
    robot.step(40)  # its successors were due at ticks 16 and 32
    policy.may_go.set()
    robot.until(lambda: robot.chunks)
    robot.step(4)
    robot.until(lambda: len(robot.chunks) == 2)
    assert robot.stamps() == [0, CONTROL_GRID.stamp(40)]
    assert [info.overtaken for info in robot.infos[-2:]] == [2, 2]
    assert robot.infos[-2].latency_ms == pytest.approx(40 / 60 * 1e3, abs=1.0)
    assert robot.infos[-1].schedule == "async"


@pytest.mark.case(18)
def test_who_hangs_falls_silent_and_says_why_and_comes_back(make_robot):
    policy = Moody("hang")
    robot = make_robot(policy)
    robot.step(2)
    info = robot.says("has been running for")
    assert info.checkpoint == SHA
    assert robot.is_silent_for(0.3)
    policy.may_go.set()
    robot.until(lambda: robot.chunks)
    before = len(robot.alive_s)
    robot.until(lambda: len(robot.alive_s) > before + 3)


def test_an_answer_to_an_episode_that_is_over_is_dropped(make_robot):
    policy = Moody("hang")
    robot = make_robot(policy, inference_timeout=60.0)
    robot.step(2)
    robot.until(lambda: policy.seen)
    robot.enter(EpisodeState.TRUNCATED)
    robot.enter(EpisodeState.RUNNING, "next")
    policy.may_go.set()
    robot.step(2)
    robot.until(lambda: robot.chunks)
    robot.spinner.spin_for(0.2)
    assert robot.stamps() == [CONTROL_GRID.stamp(2)]
    assert policy.seen == [0, CONTROL_GRID.stamp(2)]


def test_a_bug_is_told_and_silences_the_policy_until_the_next_episode(make_robot, capfd):
    robot = make_robot(Moody(ZeroDivisionError("by nothing")))
    robot.step(2)
    assert robot.says("by nothing").refused == 1
    assert "Traceback" in capfd.readouterr().err
    robot.step(20)
    assert robot.chunks == []
    assert robot.is_silent_for(0.3)
    robot.enter(EpisodeState.TRUNCATED)
    robot.enter(EpisodeState.RUNNING, "next")
    robot.step(2)
    robot.until(lambda: robot.chunks)


@pytest.mark.case(11)
def test_what_is_not_finite_is_refused_and_counted_and_the_next_decision_is_made(make_robot):
    robot = make_robot(Moody(None, "nan", "nan"))
    robot.step(2)
    robot.until(lambda: robot.chunks)
    robot.step(15)
    assert robot.says("not finite").refused == 1
    robot.step(17)
    robot.until(lambda: robot.infos[-1].refused == 2)
    robot.step(17)
    robot.until(lambda: len(robot.chunks) == 2)
    assert robot.stamps() == [0, CONTROL_GRID.stamp(48)]
    assert robot.infos[-1].refused == 2
    assert not robot.is_silent_for(0.2)


@pytest.mark.parametrize("error", [ServerLostError("gone"), ServerRefusedError("too busy")])
def test_while_its_server_is_away_it_lives_and_asks_again_about_the_newest_tick(make_robot, error):
    """Time may stand still meanwhile, so nothing else would ask."""
    policy = Moody(error, error, error)
    robot = make_robot(policy)
    robot.step(2)
    robot.says(str(error))
    assert not robot.is_silent_for(0.1)
    robot.until(lambda: robot.chunks)
    assert policy.seen == [0, 0, 0, 0]
    assert robot.infos[-1].refused == 3 * isinstance(error, ServerRefusedError)
    robot.step(17)
    robot.until(lambda: len(robot.chunks) == 2)
    assert robot.stamps() == [0, CONTROL_GRID.stamp(16)]  # in the old rhythm


def test_who_is_told_to_be_silent_drops_what_it_thinks_of(make_robot):
    policy = Moody("hang")
    robot = make_robot(policy, inference_timeout=60.0)
    robot.step(2)
    robot.until(lambda: policy.seen)
    assert robot.node._on_enable(False) == "the policy is silent"
    policy.may_go.set()
    assert robot.is_silent_for(0.2)
    assert robot.chunks == []
    robot.node._on_enable(True)
    robot.step(16)
    robot.until(lambda: robot.chunks)


@pytest.mark.case(32)
def test_cameras_that_are_too_far_apart_stop_the_planning_and_are_told_of(make_robot):
    """Case 32, at a limit of one's own: 45 ms are more than 40, but not more than the usual 50."""
    policy, reports = Moody(), []
    robot = make_robot(policy, cameras=["wrist", "front"], lockstep=False, max_image_skew=0.04)
    robot.endpoints.offer(image_topic("wrist"), image_topic("front"))
    robot.endpoints.listen(DIAGNOSTICS, lambda m: reports.append(from_message(m)))
    topics = [robot.endpoints._publishers[image_topic(one).name] for one in ("wrist", "front")]
    wait_for_matched(robot.spinner, topics)

    def report():
        mine = [one for one in reports if one.name == "policy_node: images"]
        return mine[-1] if mine else None

    while not robot.chunks:
        robot.shows(30, 2)
    robot.shows(45, 8)  # what came before is too old by now
    planned = len(robot.chunks)
    robot.shows(45, 60)
    assert len(robot.chunks) <= planned + 1  # one may have been on its way
    robot.until(lambda: report() and report().level == WARN)
    assert "front is more than 40 ms behind" in report().message
    assert int(report().values[f"{image_topic('front').name}: skewed"]) > 10
    assert int(report().values[f"{image_topic('wrist').name}: skewed"]) == 0
    planned = len(robot.chunks)
    while len(robot.chunks) == planned:
        robot.shows(30, 2)
