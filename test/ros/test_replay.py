"""An episode that is played shows who comes late what was latched, and the bag's time to all."""

import pytest

pytest.importorskip("rclpy")

from factories import TimedMessage, make_bag, make_rollout
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosbag2_player import Player
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from so101.data.bags.messages import create
from so101.episode import EpisodeState
from so101.events import EpisodeEvent
from so101.ros.convert import from_text
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner, wait_for_matched
from so101.topics import (
    ARM_TRAJECTORY,
    EPISODE,
    JOINT_STATES,
    ROBOT_DESCRIPTION,
    STRING,
    TASK,
    image_topic,
)
from so101_bringup.graph import GRAPHS, GraphOptions

RVIZ_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
FRONT = image_topic("front")
STEPS = 12


@pytest.fixture
def bag(tmp_path):
    rollout = make_rollout(steps=STEPS)
    first_ns = rollout.messages[0].log_time_ns
    urdf = create(STRING, data="<robot/>")
    latched = TimedMessage(ROBOT_DESCRIPTION, first_ns, urdf, first_ns)
    rollout = rollout._replace(messages=[latched, *rollout.messages])
    return make_bag(directory=tmp_path / "episode", rollout=rollout, cameras=("front",))


def play(player, spinner):
    """Play it all, as fast as others listen; return when its last message arrived [ns]."""
    log_ns = 0
    for name, log_ns, data in player.messages():
        player.play(name, log_ns, data)
        spinner.drain()
    return log_ns


def test_who_comes_late_is_told_what_is_latched_and_what_time_it_is(bag, make_node):
    player = Player(make_node("player"), bag)
    viewer = make_node(
        "rviz", parameter_overrides=[Parameter("use_sim_time", value=True)], namespace=""
    )
    images = []
    seen = viewer.create_subscription(
        CompressedImage, FRONT.name, images.append, qos_profile_sensor_data
    )
    spinner = Spinner(viewer)
    wait_for_matched(spinner, (), [seen])
    last_ns = play(player, spinner)
    assert spinner.spin_until(lambda: len(images) == STEPS + 1, 10.0)
    assert spinner.spin_until(lambda: viewer.get_clock().now().nanoseconds == last_ns, 10.0)

    late, told, states = make_node("late"), {}, []
    late.create_subscription(
        String, ROBOT_DESCRIPTION.name, lambda m: told.update(urdf=m.data), RVIZ_LATCHED
    )
    endpoints = Endpoints(late)
    endpoints.listen(TASK, lambda message: told.update(task=from_text(message)))
    endpoints.hear(EPISODE, EpisodeEvent, lambda event: states.append(event.state))
    after = Spinner(late)
    # the player keeps ten latched messages where ours keep one: all come, the newest last
    assert after.spin_until(lambda: states[-1:] == [EpisodeState.SUCCEEDED], 10.0), states
    assert after.spin_until(lambda: len(told) == 2, 10.0), told
    assert (told["urdf"], told["task"]) == ("<robot/>", "pick up the cube")
    after.close()
    spinner.close()


def test_as_the_launch_file_plays_it_a_running_arm_hears_nothing(bag, make_node):
    (spec,) = (
        node
        for node in GRAPHS["replay"](GraphOptions(bag=str(bag)))
        if node.executable == "player"
    )
    excluded = spec.parameters["play.exclude_topics_to_filter"]
    player = Player(make_node("player"), bag, dict(spec.remappings), excluded)
    arm_node, viewer = make_node("arm"), make_node("rviz", namespace=spec.namespace)
    heard_by_arm, images = [], []
    arm = Endpoints(arm_node)
    for topic in (ARM_TRAJECTORY, JOINT_STATES, EPISODE, TASK, FRONT):
        arm.listen(topic, heard_by_arm.append)
    seen = viewer.create_subscription(
        CompressedImage, FRONT.name, images.append, qos_profile_sensor_data
    )
    spinner = Spinner(viewer, arm_node)
    wait_for_matched(spinner, (), [seen])
    play(player, spinner)
    assert spinner.spin_until(lambda: len(images) == STEPS + 1, 10.0)
    assert heard_by_arm == []
    assert [s.get_publisher_count() for s in arm_node.subscriptions] == [0] * 5
    spinner.close()
