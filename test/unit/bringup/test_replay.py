"""What of a bag is played, and where: nothing of it under the names of an arm that may run."""

import pytest
from factories import make_bag, make_rollout
from rosbag2_layout import Rosbag2Writer, offered

from so101.errors import ConfigError
from so101.topics import JOINT_STATES, MARKERS, STRING, recorded_topics
from so101_bringup.graph import GRAPHS, GraphOptions

RECORDED = {f"/{topic.name}" for topic in recorded_topics(("front",))}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    path = tmp_path_factory.mktemp("replay") / "episode"
    return make_bag(directory=path, rollout=make_rollout(steps=6), cameras=("front",))


def player_of(bag, **options):
    (player,) = (
        node
        for node in GRAPHS["replay"](GraphOptions(bag=str(bag), **options))
        if node.executable == "player"
    )
    return player


def foreign(directory, *topics):
    writer = Rosbag2Writer(directory)
    for topic in topics:
        writer.create_topic(topic, STRING, [offered()])
    return writer.close()


@pytest.mark.parametrize("is_file", [False, True])
def test_no_topic_is_played_under_the_name_that_an_arm_listens_to(ours, is_file):
    (file,) = ours.glob("*.mcap")
    player = player_of(file if is_file else ours)
    moved = dict(player.remappings)
    skipped = {*player.parameters["play.exclude_topics_to_filter"]}
    assert {*moved} | skipped == RECORDED
    assert skipped == {"/robot_description"}
    assert all(moved[topic] == f"/replay{topic}" for topic in moved)
    assert player.parameters["play.clock_publish_frequency"] == 60.0


def test_who_shows_it_is_in_the_same_namespace_by_the_clock_of_the_bag(ours):
    nodes = GRAPHS["replay"](GraphOptions(bag=str(ours), launch_rviz=True))
    assert {node.namespace for node in nodes} == {"replay"}
    assert all(node.parameters["use_sim_time"] for node in nodes)
    by_name = {node.executable: node for node in nodes}
    for name in ("robot_state_publisher", "rviz2"):
        assert {("/tf", "tf"), ("/tf_static", "tf_static")} <= {*by_name[name].remappings}
    assert "marker_node" in by_name


def test_another_namespace_can_be_named(ours):
    moved = dict(player_of(ours, namespace="/shown/").remappings)
    assert moved["/joint_states"] == "/shown/joint_states"


def test_a_bag_of_all_topics_says_neither_time_nor_transforms_twice(tmp_path):
    topics = ("/joint_states", "/clock", "/tf", "/tf_static", "/robot_description", "/rosout")
    bag = foreign(tmp_path / "ep1", *topics, "/parameter_events", f"/{MARKERS.name}")
    player = player_of(bag)
    assert player.parameters["play.clock_publish_frequency"] == 0.0
    assert dict(player.remappings) == {
        "/joint_states": "/replay/joint_states",
        "/tf_static": "/replay/tf_static",
        f"/{MARKERS.name}": f"/replay/{MARKERS.name}",
    }
    drawn = player_of(bag, launch_rviz=True)
    assert f"/{MARKERS.name}" in drawn.parameters["play.exclude_topics_to_filter"]


def test_the_namespace_of_the_robot_in_the_bag_does_not_matter(tmp_path):
    one = foreign(
        tmp_path / "one", "/left/joint_states", "/left/robot_description", "/diagnostics"
    )
    player = player_of(one)
    assert dict(player.remappings) == {
        "/left/joint_states": f"/replay/{JOINT_STATES.name}",
        "/diagnostics": "/replay/diagnostics",
    }
    broadcast = ("/joint_states", "/joint_commands", "/joint_state_broadcaster/joint_states")
    player = player_of(foreign(tmp_path / "three", *broadcast))
    assert dict(player.remappings) == {topic: f"/replay{topic}" for topic in broadcast}
    two = foreign(tmp_path / "two", "/left/joint_states", "/right/joint_states")
    assert dict(player_of(two).remappings) == {
        "/left/joint_states": "/replay/left/joint_states",
        "/right/joint_states": "/replay/right/joint_states",
    }


def test_a_bag_that_the_player_cannot_open_is_refused(tmp_path, ours):
    writer = Rosbag2Writer(tmp_path / "ep1")
    with pytest.raises(ConfigError, match=r"no metadata\.yaml.*ros2 bag reindex"):
        player_of(writer.die())
    with pytest.raises(ConfigError, match="does not exist"):
        player_of(tmp_path / "nowhere")
