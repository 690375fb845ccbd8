"""What `ros2 bag record -a` leaves, to the letter: inner records, system time, noise."""

import pytest
from bag_layouts import assert_same, write_theirs
from factories import Rollout, make_bag, make_rollout
from rosbag2_layout import Rosbag2Writer, offered
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from so101.clock import CONTROL_GRID, POLICY_GRID
from so101.data.bags.messages import encode
from so101.data.episodes.episode_reader import EpisodeReader, read_episode, read_episodes
from so101.data.episodes.segments import ReaderConfig
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import EpisodeDataset
from so101.episode import Episode, Outcome
from so101.errors import BagError
from so101.events import LabelEvent
from so101.spec import PolicySpec
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_STATE,
    LABEL,
    REWARD,
    TASK,
    TELEOP_TRAJECTORY,
)

CAMERAS = ("front", "wrist")
DATE_NS = 1_795_000_000 * 10**9
"""Their system clock is years behind or ahead of what the stamps of a simulation say."""

NOISE = {
    "/rosout": "rcl_interfaces/msg/Log",
    "/parameter_events": "rcl_interfaces/msg/ParameterEvent",
    "/tf": "tf2_msgs/msg/TFMessage",
    "/wrist_camera/image_raw/compressed/parameter_descriptions": "std_msgs/msg/String",
}


def two_episodes() -> Rollout:
    sizes = {"cameras": CAMERAS, "image_size": (12, 16)}
    first = make_rollout(steps=14, episode="a", **sizes)
    second = make_rollout(
        steps=9, episode="b", start_ns=POLICY_GRID.stamp(400), outcome=Outcome.FAILURE, **sizes
    )
    return first._replace(messages=first.messages + second.messages)


BOTH = two_episodes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list[Episode]:
    path = tmp_path_factory.mktemp("ours") / "bag"
    return read_episodes(make_bag(directory=path, rollout=BOTH, cameras=CAMERAS))


def as_arrived(message) -> int:
    return DATE_NS + message.log_time_ns


def by_the_clock(message) -> int:
    """--use-sim-time: what /clock last said when it arrived."""
    return CONTROL_GRID.stamp(CONTROL_GRID.floor(message.log_time_ns))


def write(directory, rollout: Rollout, *, log_ns=as_arrived, prefix="/", split_after=0):
    writer = Rosbag2Writer(directory, split_after=split_after)
    for name, kind in NOISE.items():
        writer.create_topic(name, kind, [offered(), offered()])
    for topic in dict.fromkeys(m.topic for m in rollout.messages):
        durability = "transient_local" if topic.is_latched else "volatile"
        writer.create_topic(prefix + topic.name, topic.type, [offered(durability=durability)])
    for number, m in enumerate(rollout.messages):
        noisy = [*NOISE][number % len(NOISE)]
        writer.write(noisy, b"\x00\x01\x00\x00 anything", log_ns(m), log_ns(m))
        writer.write(prefix + m.topic.name, encode(m.message), log_ns(m), m.stamp_ns)
    return writer


def without(rollout: Rollout, *topics) -> Rollout:
    kept = [m for m in rollout.messages if m.topic not in topics]
    return rollout._replace(messages=kept)


@pytest.mark.parametrize("log_ns", [as_arrived, by_the_clock])
@pytest.mark.parametrize("prefix", ["/", "/left/"])
@pytest.mark.parametrize("split_after", [0, 100])
def test_it_reads_to_the_same_episodes_whatever_its_log_was_dated_by(
    expected, tmp_path, log_ns, prefix, split_after
):
    bag = write(
        tmp_path / "ep1", BOTH, log_ns=log_ns, prefix=prefix, split_after=split_after
    ).close()
    assert (len(list(bag.glob("ep1_*.mcap"))) > 3) == bool(split_after)
    assert_same(read_episodes(bag), expected)
    (entry,) = EpisodeStore(bag).episodes()
    assert (entry.problem, entry.is_foreign) == ("", True)
    (checked,) = EpisodeStore(bag).verify()
    assert checked.problems == ()


def test_a_file_of_a_split_bag_by_itself_gives_what_is_in_it(expected, tmp_path):
    """In all but the last file the inner metadata says that there are no messages."""
    bag = write(tmp_path / "ep1", BOTH, split_after=400).close()
    first = EpisodeReader(bag / "ep1_0.mcap")
    assert first.damage == ""
    assert [one.facts.id for one in first.segments] == ["a", "b"]
    assert_same([first.read(0)], expected[:1])


def test_a_killed_recorder_leaves_its_whole_episodes_and_the_last_one_incomplete(
    expected, tmp_path
):
    cut = BOTH._replace(messages=BOTH.messages[:-30])
    bag = write(tmp_path / "ep1", cut, split_after=100).die()
    assert not (bag / "metadata.yaml").exists()
    first, second = read_episodes(bag)
    assert_same([first], expected[:1])
    assert second.outcome is Outcome.INCOMPLETE
    for store in (EpisodeStore(bag), EpisodeStore(tmp_path)):
        (entry,) = store.episodes()
        assert entry.path == bag
        (checked,) = store.verify()
        assert "the file has no footer" in checked.problems[0]


@pytest.mark.parametrize("ending", [".mcap.zstd", ".db3.zstd"])
def test_a_packed_bag_without_metadata_is_found_in_a_directory(tmp_path, ending):
    storage = StoragePlugin.MCAP if "mcap" in ending else StoragePlugin.SQLITE3
    bag = write_theirs(tmp_path / "ep1", BOTH, storage, CompressionMode.FILE)
    (bag / "metadata.yaml").unlink()
    for store in (EpisodeStore(bag), EpisodeStore(tmp_path)):
        assert [entry.path for entry in store.episodes()] == [bag]
    (file,) = bag.iterdir()
    file.rename(tmp_path / f"lone{ending}")
    assert [entry.path.name for entry in EpisodeStore(tmp_path).episodes()] == [f"lone{ending}"]


def test_plain_teleoperation_is_one_demonstration_and_trains(tmp_path):
    """Nobody said what it is: no episode, task, reward or control source in it."""
    sizes = {"cameras": CAMERAS, "image_size": (12, 16)}
    told = (EPISODE, TASK, REWARD, CONTROL_SOURCE, LABEL, TELEOP_TRAJECTORY)
    bags = [
        write(
            tmp_path / "bags" / f"ep{seed}",
            without(make_rollout(steps=20, seed=seed, **sizes), *told),
        ).close()
        for seed in (1, 2)
    ]
    store = EpisodeStore(tmp_path / "bags")
    entries = store.episodes()
    assert [entry.facts.id for entry in entries] == ["ep1", "ep2"]
    assert all(entry.is_demonstration for entry in entries)
    dataset = EpisodeDataset.from_store(store, PolicySpec(cameras=CAMERAS, image_size=(12, 16)))
    assert len(dataset.skipped) == 0
    assert len(dataset) > 30
    episode = read_episode(bags[0])
    assert (episode.outcome, episode.facts.task) == (None, "")
    assert (episode.rewards.any(), episode.truncated[-1]) == (False, True)
    said = LabelEvent(stamp_ns=1, episode="ep1", rater="anna", outcome=Outcome.FAILURE)
    store.add_label(said)
    assert [entry.is_demonstration for entry in store.episodes()] == [False, True]


def test_who_else_has_joint_states_is_no_second_robot(expected, tmp_path):
    """ros2_control's broadcaster, sliders and a leader arm; nobody commands them."""
    others = ("joint_state_broadcaster", "sliders", "leader")
    writer = Rosbag2Writer(tmp_path / "ep1")
    for topic in dict.fromkeys(m.topic for m in BOTH.messages):
        writer.create_topic(f"/{topic.name}", topic.type, [offered()])
    for name in others:
        writer.create_topic(f"/{name}/joint_states", JOINT_STATE, [offered()])
    for m in BOTH.messages:
        data = encode(m.message)
        writer.write(f"/{m.topic.name}", data, as_arrived(m), m.stamp_ns)
        if m.topic.type == JOINT_STATE:
            for name in others:
                writer.write(f"/{name}/joint_states", data, as_arrived(m), m.stamp_ns)
    assert_same(read_episodes(writer.close()), expected)


def test_two_robots_in_a_bag_are_named_and_either_is_read(expected, tmp_path):
    writer = Rosbag2Writer(tmp_path / "ep1")
    for side in ("left", "right"):
        for topic in dict.fromkeys(m.topic for m in BOTH.messages):
            writer.create_topic(f"/{side}/{topic.name}", topic.type, [offered()])
    for m in BOTH.messages:
        for side in ("left", "right"):
            writer.write(f"/{side}/{m.topic.name}", encode(m.message), as_arrived(m), m.stamp_ns)
    bag = writer.close()
    with pytest.raises(BagError, match="several robots, name one: /left/, /right/"):
        read_episodes(bag)
    assert_same(read_episodes(bag, ReaderConfig(namespace="right")), expected)


def test_a_camera_that_was_not_recorded_is_named(tmp_path):
    bag = write(tmp_path / "ep1", make_rollout(steps=9, cameras=("front",))).close()
    with pytest.raises(BagError, match="has no camera wrist; it has front"):
        EpisodeDataset.from_store(EpisodeStore(bag), PolicySpec(cameras=CAMERAS))
