"""Split bags, whole files, recovery in place: what is on the disk is always readable."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from factories import make_bag, make_rollout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from so101.data.bags.bag import open_bag
from so101.data.bags.bag_file import FACTS_RECORD
from so101.data.bags.bag_writer import FLUSH_NS, PART, SHA256_KEY, BagWriter, Split
from so101.data.bags.custom_data import OUTCOME
from so101.data.bags.mcap_file import read_mcap
from so101.data.bags.mcap_repair import repair_mcap
from so101.data.bags.messages import encode
from so101.data.bags.recovery import recover_part
from so101.data.digest import Digest
from so101.data.durable import NoSpaceError, file_sha256
from so101.data.episodes.episode_reader import read_episode, read_episodes
from so101.episode import Outcome
from so101.errors import BagError
from so101.topics import CONTROL_SOURCE, EPISODE, JOINT_STATES, TASK, recorded_topics

TOPICS = recorded_topics(())
SECOND_NS = 1_000_000_000
NEVER = 1 << 60
OUTCOMES = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED)


def three_rollouts():
    """Three episodes of 0.8 s, two seconds from the beginning of one to that of the next."""
    return [
        make_rollout(
            steps=24,
            seed=number,
            cameras=(),
            episode=f"demo-{number:04d}",
            start_ns=(10 + 2 * number) * SECOND_NS,
            outcome=outcome,
        )
        for number, outcome in enumerate(OUTCOMES)
    ]


def write_all(writer: BagWriter, rollouts=None) -> BagWriter:
    for rollout in rollouts or three_rollouts():
        for topic, stamp_ns, message, log_time_ns in rollout.messages:
            writer.write(topic.name, encode(message), log_time_ns, stamp_ns)
    return writer


def writer_in(directory: Path, **options) -> BagWriter:
    return BagWriter(directory, TOPICS, name="all", now_ns=lambda: 0, **options)


@pytest.fixture(scope="module", params=["size", "time"])
def split_bag(request, tmp_path_factory):
    limits = {
        "size": Split(max_bytes=60_000, max_ns=NEVER),
        "time": Split(max_bytes=NEVER, max_ns=SECOND_NS),
    }
    writer = writer_in(tmp_path_factory.mktemp("split") / "bag", split=limits[request.param])
    summary = write_all(writer).close({"operator": "me"})
    assert sum(writer.repeated.values()) > 0
    return summary.path, dict(summary.counts), dict(writer.repeated)


def files_of(path: Path) -> list[Path]:
    return sorted(path.glob("*.mcap"), key=lambda file: int(file.stem.split("_")[-1]))


def test_every_file_of_a_split_bag_explains_itself(split_bag):
    path, _, _ = split_bag
    files = files_of(path)
    assert [file.name for file in files] == [f"all_{n}.mcap" for n in range(len(files))]
    assert len(files) >= 3
    latched = {f"/{topic.name}" for topic in (TASK, EPISODE, CONTROL_SOURCE)}
    for file in files:
        found = open_bag(file, check_all=True)
        first = found.messages()[: len(latched)] if file != files[0] else found.messages()
        assert latched <= {message.topic for message in first}
        assert not found.is_recovered
        assert set(found.types) == {f"/{topic.name}" for topic in TOPICS}


def test_a_split_bag_is_one_bag_for_us_and_for_others(split_bag):
    path, counts, repeated = split_bag
    bag = open_bag(path, check_all=True)
    times = [message.log_time_ns for message in bag.messages()]
    assert times == sorted(times)
    assert {topic.lstrip("/"): count for topic, count in bag.counts().items()} == counts
    sent = sum(len(rollout.messages) for rollout in three_rollouts())
    assert len(bag) == sent + sum(repeated.values())
    assert bag.damage == ""
    with AnyReader([path]) as reader:
        theirs = [(at, c.topic, bytes(data)) for c, at, data in reader.messages()]
        assert reader.message_count == len(bag)
        assert (reader.start_time, reader.end_time - 1) == (times[0], times[-1])
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
    assert theirs == [(m.log_time_ns, m.topic, bytes(m.data)) for m in bag.messages()]


def test_the_library_of_the_format_reads_every_file_by_its_index(split_bag):
    path, counts, _ = split_bag
    seen = 0
    for file in files_of(path):
        with file.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            found = [message.log_time for _, _, message in reader.iter_messages()]
            summary = reader.get_summary()
            assert summary.statistics.message_count == len(found)
            assert summary.statistics.chunk_count == len(summary.chunk_indexes)
            stamps = (summary.statistics.message_start_time, summary.statistics.message_end_time)
            assert stamps == (min(found), max(found))
            only = list(reader.iter_messages(topics=["/joint_states"]))
            assert {channel.topic for _, channel, _ in only} == {"/joint_states"}
            told = {record.name for record in reader.iter_metadata()}
            assert told == {FACTS_RECORD, "rosbag2"}
        seen += len(found)
    assert seen == sum(counts.values())


def test_hashes_name_every_file(split_bag):
    path, _, _ = split_bag
    custom = open_bag(path).custom_data
    files = files_of(path)
    for file in files:
        assert custom[f"{SHA256_KEY}/{file.name}"] == file_sha256(file)
    listed = "".join(f"{file_sha256(file)}  {file.name}\n" for file in files)
    assert custom[SHA256_KEY] == hashlib.sha256(listed.encode()).hexdigest()
    assert custom["operator"] == "me"


def test_episodes_of_a_split_bag_are_those_that_were_recorded(split_bag, tmp_path):
    """Latched events that are said again, in an episode or after it, are harmless."""
    path, _, _ = split_bag
    found = read_episodes(path)
    assert [episode.facts.id for episode in found] == ["demo-0000", "demo-0001", "demo-0002"]
    assert tuple(episode.outcome for episode in found) == OUTCOMES
    for episode, rollout in zip(found, three_rollouts(), strict=True):
        alone = read_episode(
            make_bag(directory=tmp_path / rollout.facts.id, rollout=rollout, cameras=())
        )
        for name in ("stamps_ns", "positions", "actions", "rewards", "terminated", "sources"):
            np.testing.assert_array_equal(getattr(episode, name), getattr(alone, name), name)


def test_a_bag_that_is_not_split_repeats_nothing(tmp_path):
    writer = write_all(writer_in(tmp_path / "bag"))
    summary = writer.close({})
    assert sum(writer.repeated.values()) == 0
    (file,) = files_of(summary.path)
    assert open_bag(summary.path).custom_data[SHA256_KEY] == file_sha256(file)


def test_what_waits_is_flushed_though_nothing_arrives(tmp_path):
    now = [0]
    writer = BagWriter(tmp_path / "b", [TASK], name="b", now_ns=lambda: now[0])
    file = next((tmp_path / f"b{PART}").glob("*.mcap"))
    for topic_time in (0, 1):
        writer.write("task", b"message", topic_time, topic_time)
    assert read_mcap(memoryview(file.read_bytes()), "x").messages == []
    now[0] = FLUSH_NS - 1
    writer.flush_if_due()
    assert read_mcap(memoryview(file.read_bytes()), "x").messages == []
    now[0] = FLUSH_NS
    writer.flush_if_due()
    assert len(read_mcap(memoryview(file.read_bytes()), "x").messages) == 2
    assert FLUSH_NS <= SECOND_NS / 2
    writer.abandon()


def test_a_buffer_that_is_used_again_is_written_as_it_was(tmp_path):
    writer = BagWriter(tmp_path / "b", [TASK], name="b", now_ns=lambda: 0)
    buffer = bytearray(b"first")
    writer.write("task", memoryview(buffer), 0, 0)
    buffer[:] = b"other"
    path = writer.close({}).path
    assert [bytes(m.data) for m in open_bag(path).messages()] == [b"first"]


def part_of(directory: Path, **options) -> Path:
    """Return what a killed recorder leaves behind: some chunks, no end."""
    writer = writer_in(directory / "bag", facts={"id": "demo"}, **options)
    for rollout in three_rollouts():
        write_all(writer, [rollout])
        writer.flush()
    return writer.part


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory):
    (file,) = files_of(part_of(tmp_path_factory.mktemp("part")))
    return file.read_bytes(), open_bag(file).messages()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20
)
@given(st.floats(0, 1), st.booleans())
def test_a_part_cut_or_zeroed_anywhere_becomes_whole_or_is_put_aside(
    left_behind, tmp_path_factory, at, zeroed
):
    root = tmp_path_factory.mktemp("cut")
    data, expected = left_behind
    part = root / f"bag{PART}"
    part.mkdir()
    file = part / "all_0.mcap"
    size = int(at * len(data))
    file.write_bytes(data[:size] + bytes(len(data) - size) * zeroed)
    found = recover_part(part, root / "quarantine")
    if found.path is None:
        assert next((root / "quarantine").iterdir()).name == part.name
        return
    bag = open_bag(found.path, check_all=True)
    assert bag.custom_data[OUTCOME] == Outcome.INCOMPLETE.value
    assert bag.custom_data["id"] == "demo"
    assert not bag.is_recovered
    assert bag.messages() == expected[: len(bag)]
    with AnyReader([found.path]) as reader:
        assert sum(1 for _ in reader.messages()) == reader.message_count == len(bag) > 0
    (file,) = files_of(found.path)
    assert bag.custom_data[SHA256_KEY] == file_sha256(file)


def test_repairing_again_changes_nothing(tmp_path):
    (file,) = files_of(part_of(tmp_path))
    first = repair_mcap(file)
    data = file.read_bytes()
    again = repair_mcap(file)
    assert file.read_bytes() == data
    assert again.finished == first.finished
    assert (bool(first.damage), again.damage) == (True, "")
    file.write_bytes(data[:-30])  # killed while the end was being written
    assert repair_mcap(file).finished == first.finished
    assert file.read_bytes() == data


def test_of_a_split_recording_only_the_open_file_is_touched(tmp_path):
    part = part_of(tmp_path, split=Split(max_bytes=60_000, max_ns=NEVER))
    files = files_of(part)
    before = [file.read_bytes() for file in files]
    found = recover_part(part, tmp_path / "quarantine")
    after = [file.read_bytes() for file in files_of(found.path)]
    assert after[:-1] == before[:-1]
    assert after[-1].startswith(before[-1])
    bag = open_bag(found.path, check_all=True)
    sent = sum(len(rollout.messages) for rollout in three_rollouts())
    assert len(bag) >= sent
    assert found.messages == len(bag)
    episodes = read_episodes(found.path)
    outcomes = [episode.outcome for episode in episodes]
    assert outcomes == [*OUTCOMES[:2], Outcome.INCOMPLETE]  # what ended before is whole


def test_a_file_that_holds_nothing_yet_is_left_out(tmp_path):
    part = part_of(tmp_path, split=Split(max_bytes=60_000, max_ns=NEVER))
    files = files_of(part)
    files[-1].with_name(f"all_{len(files)}.mcap").write_bytes(b"\x89MCAP0\r\n")
    found = recover_part(part, tmp_path / "quarantine")
    assert len(files_of(found.path)) == len(files)
    assert open_bag(found.path, check_all=True).damage == ""


def test_on_a_full_disk_the_last_chunks_make_room_for_the_end(tmp_path, monkeypatch):
    """The end of the file and metadata.yaml need room; messages are what there is to give."""
    part = part_of(tmp_path)
    (file,) = files_of(part)
    whole = open_bag(file).messages()
    size = file.stat().st_size
    refused = []
    from so101.data.bags import mcap_repair

    real = mcap_repair._write_end

    def write_end(path, size_of_data, index):
        if size_of_data + len(index.ending(size_of_data, 0)) > size:
            refused.append(size_of_data)
            raise NoSpaceError("no space left")
        real(path, size_of_data, index)

    monkeypatch.setattr(mcap_repair, "_write_end", write_end)
    found = recover_part(part, tmp_path / "quarantine")
    bag = open_bag(found.path, check_all=True)
    assert refused
    assert 0 < len(bag) < len(whole)
    assert bag.messages() == whole[: len(bag)]
    assert "given back" in found.reason


def test_a_file_of_noise_cannot_be_repaired(tmp_path):
    path = tmp_path / "x.mcap"
    for content in (b"", b"noise", b"\x89MCAP0\r\n" + b"\x06" + bytes(30)):
        path.write_bytes(content)
        with pytest.raises(BagError, match=r"x\.mcap"):
            repair_mcap(path)


@given(st.lists(st.binary(max_size=5000), max_size=30))
def test_checksums_are_those_of_all_pieces(pieces):
    import zlib

    digest = Digest()
    for piece in pieces:
        digest.update(piece)
    whole = b"".join(pieces)
    assert digest.crc() == zlib.crc32(whole)
    assert digest.sha256() == hashlib.sha256(whole).hexdigest()
    digest.close()


def test_streams_keep_their_order_and_stamps(split_bag):
    path, _, _ = split_bag
    found = open_bag(path).messages([f"/{JOINT_STATES.name}"])
    expected = [
        encode(message)
        for rollout in three_rollouts()
        for topic, _, message, _ in rollout.messages
        if topic is JOINT_STATES
    ]
    assert [bytes(message.data) for message in found] == expected
