"""Bags of other recorders: what they lack, name otherwise or add, and what is said about it."""

import numpy as np
import pytest
from factories import START_NS, Rollout, header, joint_message, make_bag, make_rollout
from rosbags.rosbag2 import StoragePlugin, Writer

from so101.config import from_mapping, to_mapping
from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.messages import create, decode, definition, encode
from so101.data.episodes.episode_reader import EpisodeReader, read_episode
from so101.data.episodes.segments import ReaderConfig
from so101.data.episodes.stream_reports import QualityConfig
from so101.data.stores.episode_mapping import episode_mapping
from so101.data.stores.episode_table import format_episode
from so101.data.stores.store_entry import EpisodeEntry
from so101.errors import BagError, ConfigError
from so101.images import decode_image, encode_png
from so101.raw_images import raw_image
from so101.robot import JOINTS
from so101.topics import (
    EPISODE,
    IMAGE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    Topic,
    image_topic,
)

FRONT = image_topic("front")
RAW = Topic(name="front_camera/image_raw", type=IMAGE, doc="")
PIXELS = np.arange(6 * 7 * 3, dtype=np.uint8).reshape(6, 7, 3)
CHANNELS = {
    "rgb8": [0, 1, 2],
    "bgr8": [2, 1, 0],
    "rgba8": [0, 1, 2, 0],
    "bgra8": [2, 1, 0, 0],
}


def write(directory, rollout: Rollout, names=None, extra=()):
    """Write a rollout's topics under other absolute names, beside topics of any kind."""
    names = names or {}
    topics = dict.fromkeys(message.topic for message in rollout.messages)
    theirs = {t: Topic(name=names.get(t.name, f"/{t.name}"), type=t.type, doc="") for t in topics}
    writer = BagWriter(directory, [*theirs.values(), *(t for t, _ in extra)], name="rosbag2")
    for topic, data in extra:
        writer.write(topic.name, data, START_NS, START_NS)
    for m in rollout.messages:
        writer.write(theirs[m.topic].name, encode(m.message), m.log_time_ns, m.stamp_ns)
    return writer.close({}).path


def changed(rollout: Rollout, change) -> Rollout:
    return rollout._replace(messages=[new for old in rollout.messages for new in change(old)])


def image(pixels: np.ndarray, encoding: str, padding: int = 0, stamp_ns: int = START_NS):
    channels = pixels[:, :, CHANNELS[encoding]] if encoding in CHANNELS else pixels[:, :, :1]
    rows = channels.reshape(len(pixels), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=7)
    return create(
        IMAGE,
        header=header(stamp_ns),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=padded.shape[1],
        data=np.ascontiguousarray(padded).ravel(),
    )


def test_topics_of_unknown_types_and_all_that_ros_says_do_not_disturb(tmp_path):
    bag = tmp_path / "bag"
    writer = Writer(bag, version=9, storage_plugin=StoragePlugin.SQLITE3)
    rollout = make_rollout(steps=9)
    noise = {
        "/rosout": "rcl_interfaces/msg/Log",
        "/parameter_events": "rcl_interfaces/msg/ParameterEvent",
        "/tf": "tf2_msgs/msg/TFMessage",
        "/their/thing": "their_msgs/msg/Thing",
        "/other/joint_states_raw": "sensor_msgs/msg/JointState",
    }
    with writer:
        topics = {
            f"/{t.name}": writer.add_connection(
                f"/{t.name}", t.type, msgdef=definition(t.type).text, rihs01="RIHS01_0"
            )
            for t in dict.fromkeys(m.topic for m in rollout.messages)
        }
        for topic, kind in noise.items():
            topics[topic] = writer.add_connection(topic, kind, msgdef="int8 x\n", rihs01="R")
        for m in rollout.messages:
            writer.write(topics[f"/{m.topic.name}"], m.log_time_ns, encode(m.message))
            for topic in noise:
                writer.write(topics[topic], m.log_time_ns, b"\x00\x01\x00\x00 anything")
    reader = EpisodeReader(bag)
    assert reader.streams["/their/thing"] == ("their_msgs/msg/Thing", len(rollout.messages))
    plain = read_episode(make_bag(directory=tmp_path / "plain", rollout=rollout))
    (episode,) = reader
    np.testing.assert_array_equal(episode.positions, plain.positions)
    assert episode.images == plain.images


def test_a_bag_without_the_episode_topic_is_one_episode_named_by_its_directory(tmp_path):
    rollout = changed(make_rollout(steps=9), lambda m: [] if m.topic is EPISODE else [m])
    reader = EpisodeReader(write(tmp_path / "rosbag2_2026", rollout))
    (segment,) = reader.segments
    assert (segment.facts.id, segment.outcome) == ("rosbag2_2026", None)
    assert len(reader.read(0)) == 10


@pytest.mark.parametrize("encoding", [*CHANNELS, "mono8"])
@pytest.mark.parametrize("padding", [0, 5])
def test_raw_images_lose_nothing(encoding, padding):
    message = decode(encode(image(PIXELS, encoding, padding)), IMAGE, "x")
    expected = PIXELS if encoding in CHANNELS else PIXELS[:, :, [0, 0, 0]]
    np.testing.assert_array_equal(raw_image(message), expected)
    np.testing.assert_array_equal(decode_image(encode_png(raw_image(message))), expected)


def test_raw_images_of_impossible_sizes_or_encodings_are_refused():
    def refused(match, **values):
        message = image(PIXELS, "rgb8")
        for name, value in values.items():
            setattr(message, name, value)
        with pytest.raises(BagError, match=match):
            raw_image(message)

    refused("encoding 'nv24' is not one of rgb8", encoding="nv24")
    refused(r"2147483648x2147483648 px is outside", width=2**31, height=2**31, step=2**32 - 1)
    refused("0x6 px", width=0)
    refused("126 bytes are not 7 rows of 21", height=7)
    refused("rows of 20 for 7 px", step=20)


def test_a_camera_in_an_encoding_that_nobody_reads_is_refused_by_topic_and_encoding(tmp_path):
    def odd(m):
        if m.topic != FRONT:
            return [m]
        message = image(PIXELS, "rgb8", stamp_ns=m.stamp_ns)
        message.encoding = "nv24"
        return [m._replace(topic=RAW, message=message)]

    bag = write(tmp_path / "bag", changed(make_rollout(steps=9), odd))
    with pytest.raises(BagError, match=r"/front_camera/image_raw: .* 'nv24'.*cv_bridge"):
        read_episode(bag)


@pytest.mark.parametrize("has_both", [True, False])
def test_a_camera_recorded_raw_is_read_and_one_recorded_both_ways_is_read_compressed(
    tmp_path, has_both
):
    def also_raw(m):
        if m.topic != FRONT:
            return [m]
        raw = m._replace(topic=RAW, message=image(PIXELS, "bgr8", 3, m.stamp_ns))
        return [m, raw] if has_both else [raw]

    rollout = make_rollout(steps=9)
    episode = read_episode(write(tmp_path / "bag", changed(rollout, also_raw)))
    assert list(episode.images) == ["front"]
    if has_both:
        plain = read_episode(make_bag(directory=tmp_path / "plain", rollout=rollout))
        assert episode.images == plain.images
        return
    for data in episode.images["front"]:
        np.testing.assert_array_equal(decode_image(data), PIXELS)
    report = next(r for r in episode.reports if r.stream == FRONT.name)
    assert (report.missing, report.messages) == (0, 10)


def test_joints_in_another_order_without_velocities_are_read_by_name(tmp_path):
    order = [5, 3, 1, 0, 2, 4]

    def shuffle(m):
        if m.topic not in (JOINT_STATES, JOINT_COMMANDS):
            return [m]
        names = [*(JOINTS[i] for i in order), "extra"]
        row = np.append(np.asarray(m.message.position)[order], 99.0)
        return [m._replace(message=joint_message(m.stamp_ns, row, names=names))]

    rollout = make_rollout(steps=9)
    plain = read_episode(make_bag(directory=tmp_path / "plain", rollout=rollout))
    episode = read_episode(write(tmp_path / "bag", changed(rollout, shuffle)))
    np.testing.assert_array_equal(episode.positions, plain.positions)
    np.testing.assert_array_equal(episode.actions, plain.actions)
    assert np.isnan(episode.velocities).all()
    assert np.isnan(episode.effort).all()


THEIRS = {
    "joint_states": "/joint_states",
    "joint_commands": "/leader/joint_states_out",
    FRONT.name: "/camera/image_raw/compressed",
    OBJECTS.name: "/left/simulation/objects",
}


def test_topics_of_other_names_are_read_once_they_are_named(tmp_path):
    rollout = changed(make_rollout(steps=9), lambda m: [] if m.topic is EPISODE else [m])
    bag = write(tmp_path / "bag", rollout, THEIRS)
    renames = {
        "/leader/joint_states_out": "joint_commands",
        "/camera/image_raw/compressed": FRONT.name,
        "/left/simulation/objects": OBJECTS.name,
    }
    plain = read_episode(write(tmp_path / "plain", rollout))
    config = ReaderConfig(renames=renames)
    assert from_mapping(ReaderConfig, to_mapping(config), "x") == config
    episode = read_episode(bag, config)
    np.testing.assert_array_equal(episode.actions, plain.actions)
    np.testing.assert_array_equal(episode.objects, plain.objects)
    assert episode.images == plain.images


def test_an_absolute_name_beside_a_namespace_is_read_once_it_is_named(tmp_path):
    rollout = make_rollout(steps=9)
    names = {m.topic.name: f"/left/{m.topic.name}" for m in rollout.messages}
    bag = write(tmp_path / "bag", rollout, {**names, "joint_states": "/joint_states"})
    with pytest.raises(BagError, match="no topic /joint_commands"):
        read_episode(bag)
    config = ReaderConfig(namespace="left", renames={"/joint_states": "joint_states"})
    plain = read_episode(make_bag(directory=tmp_path / "plain", rollout=rollout))
    np.testing.assert_array_equal(read_episode(bag, config).positions, plain.positions)


def test_a_name_that_is_not_there_or_taken_is_refused(tmp_path):
    bag = write(tmp_path / "bag", make_rollout(steps=6))
    with pytest.raises(BagError, match=r"no topic /nowhere to rename; it holds /"):
        EpisodeReader(bag, ReaderConfig(renames={"/nowhere": "joint_states"}))
    with pytest.raises(BagError, match="/joint_commands cannot become /joint_states"):
        EpisodeReader(bag, ReaderConfig(renames={"/joint_commands": "joint_states"}))


def test_a_stream_that_is_absent_is_named_with_what_is_there(tmp_path):
    for topic in (JOINT_COMMANDS, JOINT_STATES):
        rollout = changed(make_rollout(steps=6), lambda m, t=topic: [] if m.topic is t else [m])
        bag = write(tmp_path / topic.name, rollout)
        with pytest.raises(BagError, match=rf"no topic /?{topic.name}.*it holds /.*objects"):
            read_episode(bag)


def test_a_topic_of_a_wrong_type_is_refused_by_name(tmp_path):
    wrong = Topic(name="reward", type="std_msgs/msg/Float64", doc="")
    value = encode(create(wrong.type, data=1.0))
    rollout = changed(make_rollout(steps=6), lambda m: [] if m.topic.name == "reward" else [m])
    bag = write(tmp_path / "bag", rollout, extra=[(wrong, value)])
    with pytest.raises(BagError, match=r"/reward: type std_msgs/msg/Float64, expected diagn"):
        read_episode(bag)


def test_empty_header_stamps_are_refused_unless_arrival_dates_the_samples(tmp_path):
    streams = (JOINT_STATES, JOINT_COMMANDS, OBJECTS, FRONT)

    def unstamp(m):
        if m.topic in streams:
            m.message.header.stamp.sec = m.message.header.stamp.nanosec = 0
        return [] if m.topic is EPISODE else [m._replace(log_time_ns=m.stamp_ns)]

    plain = read_episode(make_bag(directory=tmp_path / "plain", steps=9))
    bag = write(tmp_path / "bag", changed(make_rollout(steps=9), unstamp))
    with pytest.raises(BagError, match="/joint_states: every header stamp is 0"):
        read_episode(bag)
    episode = read_episode(bag, ReaderConfig(stamps="arrival"))
    assert len(episode) == 10  # nobody said that it ended
    np.testing.assert_array_equal(episode.actions[:9], plain.actions)
    assert episode.images["front"][:9] == plain.images["front"]


def report_of(episode, topic: Topic):
    return next(report for report in episode.reports if report.stream == topic.name)


def test_every_stream_is_reported_with_what_it_lost(tmp_path):
    lost = {START_NS + n * 1_000_000_000 // 30 for n in (7, 8, 15)}
    rollout = make_rollout(steps=30)
    torn = changed(
        rollout,
        lambda m: [] if m.topic == FRONT and min(abs(m.stamp_ns - s) for s in lost) < 9 else [m],
    )
    episode = read_episode(make_bag(directory=tmp_path / "bag", rollout=torn))
    front, joints = report_of(episode, FRONT), report_of(episode, JOINT_STATES)
    assert (front.messages, front.dropped, front.gaps, front.missing) == (28, 3, 2, 0)
    assert front.longest_gap_s == pytest.approx(0.1, abs=1e-6)
    assert front.max_age_s == pytest.approx(2 / 30, abs=1e-6)
    assert (joints.dropped, joints.gaps, joints.longest_gap_s) == (0, 0, 0.0)
    assert joints.rate_hz == pytest.approx(60, abs=1e-3)
    entry = EpisodeEntry(path=tmp_path / "bag", facts=episode.facts)
    titles, row = (
        next(line.split() for line in format_episode(entry, episode).splitlines() if word in line)
        for word in ("mean age", FRONT.name)
    )
    assert titles[-6:] == ["missing", "dropped", "gaps", "longest", "gap", "ms"]
    assert row[-4:] == ["0", "3", "2", "100"]
    streams = episode_mapping(entry, episode, ())["streams"]
    (told,) = (one for one in streams if one["stream"] == FRONT.name)
    assert (told["dropped"], told["gaps"], told["longest_gap_s"]) == (3, 2, front.longest_gap_s)
    told = {"published/joint_states": "70", FRONT.name: "0"}
    known = read_episode(make_bag(directory=tmp_path / "known", rollout=torn, custom_data=told))
    assert report_of(known, JOINT_STATES).dropped == 70 - 61
    assert report_of(known, FRONT).dropped == 3


LIMITS = [
    (QualityConfig(max_missing=0.01), "missing at 2 of 60 ticks, more than max_missing 0.01"),
    (QualityConfig(max_dropped=0.02), "lost 5 of 61 messages, more than max_dropped 0.02"),
    (QualityConfig(max_gap_s=0.15), r"silent for 0\.200 s, max_gap_s is 0\.15"),
    (QualityConfig(min_rate_hz=29), r"27\.50 Hz, min_rate_hz is 29"),
    (QualityConfig(max_mean_age_s=1e-4), r"old on average, max_mean_age_s is 0\.0001"),
]


@pytest.mark.parametrize(("quality", "reason"), LIMITS)
def test_every_limit_refuses_by_episode_topic_reason_and_limit(tmp_path, quality, reason):
    gap = range(START_NS + 1_010_000_000, START_NS + 1_190_000_000)
    torn = changed(
        make_rollout(steps=60), lambda m: [] if m.topic == FRONT and m.stamp_ns in gap else [m]
    )
    bag = make_bag(directory=tmp_path / "bag", rollout=torn)
    assert len(read_episode(bag)) == 60
    with pytest.raises(BagError, match=rf"episode rollout-1: {FRONT.name}: .*{reason}"):
        read_episode(bag, ReaderConfig(quality=quality))


def test_limits_come_from_a_file_like_every_other_setting():
    values = {"quality": {"max_gap_s": 0.5, "min_rate_hz": 10}, "renames": {"/a": "task"}}
    config = from_mapping(ReaderConfig, values, "x")
    assert (config.quality.max_gap_s, config.renames) == (0.5, {"/a": "task"})
    with pytest.raises(ConfigError, match="max_gap"):
        from_mapping(ReaderConfig, {"quality": {"max_gap": 1.0}}, "x")
    with pytest.raises(ConfigError, match="min_rate_hz"):
        from_mapping(ReaderConfig, {"quality": {"min_rate_hz": -1.0}}, "x")
