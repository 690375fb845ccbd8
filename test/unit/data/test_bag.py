"""Bags: what is written is read, by us and by others, and no byte is trusted."""

import errno
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from factories import make_bag, make_rollout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from so101.data.bags.bag import load_file, open_bag
from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.mcap_file import McapContent, read_mcap
from so101.data.bags.messages import decode, encode, typestore
from so101.errors import BagError, StoreError
from so101.topics import EPISODE, JOINT_STATES, TASK, Topic

FOREIGN = Path(
    os.environ.get("SO101_ROSBAG2", Path(__file__).parents[3] / "../shared/data/rosbag2")
)
payloads = st.lists(
    st.tuples(st.sampled_from(["task", "episode"]), st.binary(max_size=60), st.integers(0, 2**40)),
    max_size=30,
)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return make_bag(directory=tmp_path_factory.mktemp("bags") / "episode", steps=12)


def content(path: Path) -> list[tuple[int, str, bytes]]:
    return [(m.log_time_ns, m.topic, bytes(m.data)) for m in open_bag(path).messages()]


def plain(found: McapContent) -> list[tuple[int, int, bytes]]:
    return [(m.log_time_ns, m.channel, bytes(m.data)) for m in found.messages]


def try_read(data: bytes) -> McapContent | BagError:
    try:
        return read_mcap(memoryview(data), "x", check_all=True)
    except BagError as error:
        return error


def damaged(bag: Path, directory: Path, change) -> Path:
    """Return a copy of a bag whose MCAP file was changed."""
    copy = directory / "copy"
    copy.mkdir(exist_ok=True)
    for file in bag.iterdir():
        data = file.read_bytes()
        (copy / file.name).write_bytes(change(data) if file.suffix == ".mcap" else data)
    return copy


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20
)
@given(payloads)
def test_what_is_written_is_read_in_order_of_arrival(tmp_path_factory, messages):
    directory = tmp_path_factory.mktemp("bag") / "b"
    writer = BagWriter(directory, [TASK, EPISODE], name="b", namespace="left")
    for topic, data, log_time in messages:
        writer.write(topic, data, log_time, log_time)
    summary = writer.close({"operator": "me"})
    expected = sorted(((t, f"/left/{n}", d) for n, d, t in messages), key=lambda m: m[0])
    bag = open_bag(directory, check_all=True)
    assert content(directory) == expected
    assert sum(summary.counts.values()) == len(messages) == len(bag)
    assert bag.custom_data["operator"] == "me"
    assert not bag.is_recovered


def test_rosbags_reads_the_same(bag):
    with Reader(bag) as reader:
        theirs = [(t, c.topic, bytes(d)) for c, t, d in reader.messages()]
        qos = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
        for connection, _, data in reader.messages():
            typestore().deserialize_cdr(data, connection.msgtype)
        assert reader.storage.metadata.custom["id"] == "rollout-1"
    assert theirs == content(bag)
    assert qos["/task"][0].durability.name == "TRANSIENT_LOCAL"
    assert qos["/joint_states"] == []


@pytest.mark.parametrize("lone_file", [False, True])
def test_a_lost_metadata_file_is_made_up_for_by_the_bag_itself(bag, tmp_path, lone_file):
    copy = damaged(bag, tmp_path, lambda data: data)
    (copy / "metadata.yaml").unlink()
    path = next(copy.glob("*.mcap")) if lone_file else copy
    assert content(path) == content(bag)
    assert open_bag(path).custom_data["id"] == "rollout-1"


LAYOUTS = [
    (StoragePlugin.MCAP, CompressionMode.NONE),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.MCAP, CompressionMode.MESSAGE),
    (StoragePlugin.MCAP, CompressionMode.FILE),
    (StoragePlugin.SQLITE3, CompressionMode.NONE),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
]


@pytest.mark.parametrize(("storage", "compression"), LAYOUTS)
def test_bags_of_an_independent_writer_are_read(bag, tmp_path, storage, compression):
    theirs = tmp_path / "theirs"
    writer = Writer(theirs, version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    ours = open_bag(bag)
    with writer:
        topics = {
            topic: writer.add_connection(topic, kind, typestore=typestore())
            for topic, kind in ours.types.items()
        }
        for message in ours.messages():
            writer.write(topics[message.topic], message.log_time_ns, bytes(message.data))
    assert content(theirs) == content(bag)
    assert open_bag(theirs).damage == ""


@pytest.mark.parametrize(
    ("name", "messages"),
    [("mcap_talker", 20), ("mcap_split", 6074), ("sqlite3_talker", 20), ("sqlite3_cdr_test", 7)],
)
def test_bags_that_rosbag2_wrote_are_read(name, messages):
    if not (FOREIGN / name).is_dir():
        pytest.skip(f"{FOREIGN / name} is not here")
    bag = open_bag(FOREIGN / name)
    assert len(bag) == messages
    assert bag.damage == ""
    if name == "mcap_talker":
        said = [decode(m.data, "std_msgs/msg/String", name) for m in bag.messages({"/topic"})]
        assert all(message.data.startswith("Hello") for message in said)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(st.floats(0, 1))
def test_a_file_that_lost_its_end_reads_up_to_there(bag, part):
    data = next(bag.glob("*.mcap")).read_bytes()
    whole = plain(read_mcap(memoryview(data), "x"))
    size = int(part * (len(data) - 1))
    try:
        found = read_mcap(memoryview(data[:size]), "x")
    except BagError:
        assert size < 8  # not even the magic is left
        return
    assert found.damage
    read = plain(found)
    assert read == whole[: len(read)]


@pytest.mark.parametrize("lost", [100, 5_000, 20_000])
def test_a_zeroed_end_is_noticed_and_what_precedes_it_can_be_saved(bag, tmp_path, lost):
    copy = damaged(bag, tmp_path, lambda d: d[:-lost] + bytes(lost))
    data = memoryview(next(copy.glob("*.mcap")).read_bytes())
    found = try_read(data)
    assert isinstance(found, BagError) or found.damage
    saved = read_mcap(data, "x", is_salvage=True)
    assert saved.damage
    assert (
        plain(saved)
        == plain(read_mcap(load_file(next(bag.glob("*.mcap"))), "x"))[: len(saved.messages)]
    )


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150
)
@given(st.integers(0, 10**9), st.integers(0, 7))
def test_no_flipped_bit_passes(bag, place, bit):
    data = bytearray(next(bag.glob("*.mcap")).read_bytes())
    place %= len(data)
    before = read_mcap(memoryview(bytes(data)), "x")
    data[place] ^= 1 << bit
    try:
        after = read_mcap(memoryview(bytes(data)), "x", check_all=True)
    except BagError:
        return
    unchanged = [tuple(m) for m in after.messages] == [tuple(m) for m in before.messages]
    assert after.damage or (unchanged and after.channels == before.channels)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(noise):
    for data in (noise, b"\x89MCAP0\r\n" + noise):
        found = try_read(data)
        assert found.damage if isinstance(found, McapContent) else "x: " in str(found)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(st.data())
def test_no_message_bytes_crash_the_decoder(bag, data):
    message = data.draw(st.sampled_from(open_bag(bag).messages()[:40]))
    raw = bytearray(message.data)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    kind = open_bag(bag).types[message.topic]
    try:
        decoded = decode(bytes(raw[: data.draw(st.integers(0, len(raw)))]), kind, message.topic)
    except BagError:
        return
    assert decoded.__msgtype__ == kind


BROKEN_METADATA = {
    "empty": "",
    "a list": "[1, 2]",
    "not YAML": "a: [",
    "no files": "rosbag2_bagfile_information: {storage_identifier: mcap}",
    "other files": "{relative_file_paths: [x.mcap], storage_identifier: mcap, message_count: 1, "
    "duration: {nanoseconds: 0}}",
    "python": "!!python/object/apply:os.system ['true']",
}


@pytest.mark.parametrize("text", BROKEN_METADATA.values(), ids=BROKEN_METADATA)
def test_broken_metadata_is_refused_with_the_path(bag, tmp_path, text):
    copy = damaged(bag, tmp_path, lambda data: data)
    (copy / "metadata.yaml").write_text(text)
    with pytest.raises(BagError, match=str(copy)):
        open_bag(copy)


def test_what_is_no_bag_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.mcap").touch()
    (tmp_path / "zero.db3").touch()
    (tmp_path / "text.txt").write_text("x")
    for name in ("nothing", "empty", "zero.mcap", "zero.db3", "text.txt"):
        with pytest.raises(BagError, match=name):
            open_bag(tmp_path / name)


def test_a_database_with_other_content_is_refused(tmp_path):
    path = tmp_path / "other.db3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE topics (id, name, type, serialization_format)")
        database.execute("CREATE TABLE messages (id, topic_id, timestamp, data)")
        database.execute("INSERT INTO messages VALUES (1, 7, 'now', 'text')")
    database.close()
    with pytest.raises(BagError, match=r"other\.db3"):
        open_bag(path)


def test_missing_messages_are_noticed(bag, tmp_path):
    copy = damaged(bag, tmp_path, lambda data: data)
    text = (copy / "metadata.yaml").read_text()
    (copy / "metadata.yaml").write_text(text.replace("message_count: ", "message_count: 1", 1))
    assert "messages" in open_bag(copy).damage


def test_everything_flushed_survives_a_crash(tmp_path):
    now = [0]
    writer = BagWriter(tmp_path / "b", [TASK], name="b", now_ns=lambda: now[0])
    for index in range(10):
        now[0] = index * 100_000_000
        writer.write("task", b"message %d" % index, index, index)
    part = next((tmp_path / "b.part").glob("*.mcap"))
    found = read_mcap(memoryview(part.read_bytes()), "x")
    assert len(found.messages) >= 5  # at most half a second is not yet there
    writer.flush()
    assert len(read_mcap(memoryview(part.read_bytes()), "x").messages) == 10
    writer.abandon()
    assert not (tmp_path / "b.part").exists()


def test_a_full_disk_leaves_whole_records_and_says_so(tmp_path, monkeypatch):
    writer = BagWriter(tmp_path / "b", [TASK], name="b", now_ns=lambda: 0)
    writer.write("task", b"x" * 400_000, 0, 0)
    writer.flush()
    room = [640_000]
    real = os.write

    def write(descriptor, data):
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(descriptor, bytes(data)[: room[0]])
        room[0] -= done
        return done

    monkeypatch.setattr(os, "write", write)
    writer.write("task", b"y" * 400_000, 1, 1)
    writer.write("task", b"y" * 400_000, 2, 2)
    with pytest.raises(StoreError, match="no space left"):
        writer.write("task", b"y" * 400_000, 3, 3)
    with pytest.raises(StoreError, match="takes no more"):
        writer.write("task", b"z", 0, 0)
    monkeypatch.undo()
    summary = writer.close({})
    assert not summary.is_complete
    assert summary.path.name == "b.part"
    found = read_mcap(memoryview(next(summary.path.glob("*.mcap")).read_bytes()), "x")
    assert [len(m.data) for m in found.messages] == [400_000]
    assert "footer" in found.damage


def test_writing_refuses_what_it_cannot_do(tmp_path):
    writer = BagWriter(tmp_path / "b", [TASK], name="b")
    with pytest.raises(StoreError, match="joint_states"):
        writer.write(JOINT_STATES.name, b"", 0, 0)
    with pytest.raises(StoreError, match=r"b\.part"):
        BagWriter(tmp_path / "b", [TASK], name="b")
    writer.close({})
    with pytest.raises(StoreError, match="exists"):
        BagWriter(tmp_path / "b", [TASK], name="b")
    with pytest.raises(BagError, match="not known"):
        BagWriter(tmp_path / "c", [Topic(name="x", type="a_msgs/msg/B", doc="")], name="c")


def test_messages_survive_encoding():
    for _, _, message, _ in make_rollout(steps=2).messages:
        kind = message.__msgtype__
        again = encode(decode(encode(message), kind, "x"))
        assert again == encode(message)
        assert np.frombuffer(again, dtype=np.uint8)[1] == 1
