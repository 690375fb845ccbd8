"""rosbag2 opens our bags and latches again what was latched, by the rules of its sources."""

import pytest
import rosbag2_rules
import yaml
from factories import make_bag, make_rollout
from mcap.reader import make_reader
from rosbag2_layout import FOREVER
from rosbag2_rules import Offer

from so101.data.bags.bag_writer import BagWriter, Split
from so101.data.bags.messages import encode
from so101.topics import recorded_topics

ROLLOUT = make_rollout(steps=30)
TOPICS = recorded_topics(("front",))
LATCHED = {f"/{topic.name}" for topic in TOPICS if topic.is_latched}


@pytest.fixture(scope="module", params=["episode", "split"])
def bag(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "bag"
    if request.param == "episode":
        return make_bag(directory=path, rollout=ROLLOUT, cameras=("front",))
    split = Split(max_bytes=10**9, max_ns=400_000_000)
    writer = BagWriter(path, TOPICS, name="continuous-0000", split=split)
    for m in ROLLOUT.messages:
        writer.write(m.topic.name, encode(m.message), m.log_time_ns, m.stamp_ns)
    return writer.close({}).path


def told_inside(path):
    """Return what a file says of itself: the metadata that it repeats, and of each channel."""
    with path.open("rb") as stream:
        reader = make_reader(stream)
        (inner,) = (r.metadata for r in reader.iter_metadata() if r.name == "rosbag2")
        summary = reader.get_summary()
    offers = {
        channel.topic: rosbag2_rules.offer(
            [
                rosbag2_rules.profile(one)
                for one in yaml.safe_load(channel.metadata["offered_qos_profiles"])
            ]
        )
        for channel in summary.channels.values()
    }
    return rosbag2_rules.read(inner["serialized_metadata"]), offers, summary


def test_the_metadata_is_whole_and_latches_what_was_latched(bag):
    found = rosbag2_rules.read((bag / "metadata.yaml").read_text())
    assert found.version == 9
    assert found.types == {f"/{topic.name}": topic.type for topic in TOPICS}
    assert {name for name, one in found.offers.items() if one != Offer()} == LATCHED
    assert {found.offers[name] for name in LATCHED} == {Offer(durability="transient_local")}
    assert {"/robot_description", "/task", "/episode"} <= LATCHED
    assert all((bag / name).is_file() for name in found.files)


def test_the_facts_are_in_its_custom_data(tmp_path):
    writer = BagWriter(tmp_path / "bag", TOPICS, name="a")
    facts = {"task": "pick: 'it' # up", "outcome": "success", "published/joint_states": "12"}
    bag = writer.close(facts).path
    said = rosbag2_rules.read((bag / "metadata.yaml").read_text()).custom_data
    assert {key: said[key] for key in facts} == facts


def test_a_file_by_itself_says_the_same(bag):
    whole = rosbag2_rules.read((bag / "metadata.yaml").read_text())
    for name in whole.files:
        inner, offers, summary = told_inside(bag / name)
        assert inner.offers == whole.offers
        assert {**whole.offers, **offers} == whole.offers
        assert inner.files == [name]
        assert inner.count == summary.statistics.message_count
        assert inner.start_ns == summary.statistics.message_start_time


def test_the_rules_read_what_rosbag2_itself_writes(tmp_path):
    """Words and lists since version 9, numbers in a text before it."""
    numbers = {
        "history": 3,
        "depth": 0,
        "reliability": 1,
        "durability": 1,
        "deadline": FOREVER,
        "lifespan": FOREVER,
        "liveliness": 1,
        "liveliness_lease_duration": FOREVER,
        "avoid_ros_namespace_conventions": False,
    }
    latched = Offer(durability="transient_local")
    text = yaml.safe_dump([numbers, numbers])
    assert (
        rosbag2_rules.offer(rosbag2_rules.profiles({"offered_qos_profiles": text}, 8)) == latched
    )
    words = {
        **numbers,
        "history": "unknown",
        "reliability": "reliable",
        "durability": "transient_local",
        "liveliness": "automatic",
    }
    read = rosbag2_rules.profiles({"offered_qos_profiles": [words]}, 9)
    assert rosbag2_rules.offer(read) == latched
    assert rosbag2_rules.offer([*read, {**read[0], "durability": "volatile"}]) == Offer()
    assert rosbag2_rules.profiles({"offered_qos_profiles": ""}, 8) == []
    with pytest.raises(KeyError):
        rosbag2_rules.profile({**words, "lifespan": {"sec": 1}})
    with pytest.raises(ValueError, match="not in"):
        rosbag2_rules.profile({**words, "durability": "latched"})
