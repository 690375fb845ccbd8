"""A robot's bag reads to the very same episodes, whatever recorder, storage and packing it has."""

import itertools
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard
from bag_layouts import assert_same, write_theirs
from factories import Rollout, make_bag, make_rollout
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from so101.clock import POLICY_GRID
from so101.data.bags.bag import open_bag
from so101.data.bags.bag_metadata import BagMetadata
from so101.data.bags.custom_data import IS_LOCK_STEP
from so101.data.bags.messages import definition, encode
from so101.data.episodes.episode_reader import EpisodeReader, read_episode, read_episodes
from so101.episode import Episode, Outcome
from so101.errors import BagError

CAMERAS = ("front", "wrist")
ONE, MANY = "one", "many"


def rollouts() -> dict[str, Rollout]:
    sizes = {"cameras": CAMERAS, "image_size": (12, 16)}
    first = make_rollout(steps=14, episode="a", **sizes)
    second = make_rollout(
        steps=9, episode="b", start_ns=POLICY_GRID.stamp(400), outcome=Outcome.FAILURE, **sizes
    )
    both = first._replace(messages=first.messages + second.messages)
    return {ONE: first, MANY: both}


ROLLOUTS = rollouts()
TYPES = {m.topic.name: m.topic.type for m in ROLLOUTS[MANY].messages}


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, list[Episode]]:
    root = tmp_path_factory.mktemp("ours")
    paths = {
        name: make_bag(directory=root / name, rollout=rollout, cameras=CAMERAS)
        for name, rollout in ROLLOUTS.items()
    }
    return {name: read_episodes(path) for name, path in paths.items()}


LAYOUTS = [
    (storage, compression, version, parts, name)
    for storage, compression, version, parts, name in itertools.product(
        StoragePlugin, CompressionMode, (8, 9), (1, 2), (ONE, MANY)
    )
    if (storage, compression) != (StoragePlugin.SQLITE3, CompressionMode.STORAGE)
]


def layout_name(value) -> str:
    return getattr(value, "name", str(value)).lower()


@pytest.mark.parametrize(
    ("storage", "compression", "version", "parts", "name"),
    LAYOUTS,
    ids=layout_name,
)
def test_every_layout_reads_to_the_same_episodes(
    expected, tmp_path, storage, compression, version, parts, name
):
    bag = write_theirs(
        tmp_path / "bag", ROLLOUTS[name], storage, compression, version=version, parts=parts
    )
    for _ in range(2):
        reader = EpisodeReader(bag)
        assert reader.damage == ""
        assert_same(list(reader), expected[name])
        (bag / "metadata.yaml").unlink(missing_ok=True)


@pytest.mark.parametrize("storage", StoragePlugin)
@pytest.mark.parametrize("prefix", ["/left/", "/cell/left/"])
def test_a_robot_in_a_namespace_reads_the_same(expected, tmp_path, storage, prefix):
    bag = write_theirs(
        tmp_path / "bag", ROLLOUTS[ONE], storage, CompressionMode.NONE, prefix=prefix
    )
    assert_same(read_episodes(bag), expected[ONE])


@pytest.mark.parametrize("ending", [".mcap", ".mcap.zstd", ".db3", ".db3.zstd"])
def test_a_lone_file_reads_the_same(expected, tmp_path, ending):
    storage = StoragePlugin.MCAP if "mcap" in ending else StoragePlugin.SQLITE3
    mode = CompressionMode.FILE if ending.endswith("zstd") else CompressionMode.NONE
    bag = write_theirs(tmp_path / "bag", ROLLOUTS[ONE], storage, mode)
    (file,) = (file for file in bag.iterdir() if file.name.endswith(ending))
    assert_same(read_episodes(file), expected[ONE])


@pytest.mark.parametrize("compression", CompressionType)
@pytest.mark.parametrize("is_chunked", [True, False])
def test_every_packing_inside_an_mcap_file_reads_the_same(
    expected, tmp_path, compression, is_chunked
):
    path = tmp_path / "bag.mcap"
    with path.open("wb") as stream:
        writer = McapWriter(
            stream,
            chunk_size=10_000,
            compression=compression,
            index_types=IndexType.NONE,
            use_chunking=is_chunked,
        )
        writer.start(profile="ros2", library="test")
        channels = {}
        for name, kind in TYPES.items():
            schema = writer.register_schema(kind, "ros2msg", definition(kind).text.encode())
            channels[name] = writer.register_channel(f"/{name}", "cdr", schema)
        for message in ROLLOUTS[ONE].messages:
            channel = channels[message.topic.name]
            writer.add_message(channel, message.log_time_ns, encode(message.message), 0)
        writer.finish()
    assert_same(read_episodes(path), expected[ONE])


def test_a_reader_says_what_is_in_a_bag_and_reads_any_episode_of_it(expected, tmp_path):
    bag = make_bag(directory=tmp_path / "bag", rollout=ROLLOUTS[MANY], cameras=CAMERAS)
    reader = EpisodeReader(bag)
    assert [(one.facts.id, one.outcome) for one in reader.segments] == [
        ("a", Outcome.SUCCESS),
        ("b", Outcome.FAILURE),
    ]
    assert len(reader) == 2
    assert reader.damage == ""
    kind, count = reader.streams["/joint_states"]
    assert (kind, count) == ("sensor_msgs/msg/JointState", 29 + 19)
    assert_same([reader.read(1)], expected[MANY][1:])
    assert_same([reader.read(0)], expected[MANY][:1])
    with pytest.raises(BagError, match="holds 2 episodes"):
        read_episode(bag)


def test_an_episode_that_nobody_ended_ends_where_the_next_begins(tmp_path):
    first = make_rollout(steps=14, episode="a", outcome=None, cameras=())
    begin_ns = POLICY_GRID.stamp(300 + 14)
    second = make_rollout(steps=9, episode="b", start_ns=begin_ns, seed=1, cameras=())
    both = first._replace(messages=first.messages + second.messages)
    one, other = read_episodes(make_bag(directory=tmp_path / "bag", rollout=both, cameras=()))
    assert (one.facts.id, one.outcome, len(one)) == ("a", None, 14)
    assert (other.facts.id, other.outcome, len(other)) == ("b", Outcome.SUCCESS, 9)
    assert one.stamps_ns[-1] < begin_ns == other.stamps_ns[0]
    assert set(other.planned) == set(second.chunks)


def cut(path: Path, part: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])


@pytest.mark.parametrize("has_metadata", [True, False])
@pytest.mark.parametrize(
    ("storage", "compression", "part"),
    [
        (StoragePlugin.MCAP, CompressionMode.NONE, 0.55),
        (StoragePlugin.MCAP, CompressionMode.MESSAGE, 0.4),
        (StoragePlugin.SQLITE3, CompressionMode.NONE, 0.7),
    ],
    ids=layout_name,
)
def test_a_file_that_lost_its_end_gives_its_beginning_marked_incomplete(
    expected, tmp_path, storage, compression, part, has_metadata
):
    bag = write_theirs(tmp_path / "bag", ROLLOUTS[ONE], storage, compression)
    if not has_metadata:
        (bag / "metadata.yaml").unlink()
    (file,) = (file for file in bag.iterdir() if file.name != "metadata.yaml")
    cut(file, part)
    reader = EpisodeReader(bag)
    assert reader.damage
    episode = reader.read(0)
    assert episode.outcome is Outcome.INCOMPLETE
    whole = expected[ONE][0]
    assert 4 < len(episode) < len(whole)
    np.testing.assert_array_equal(episode.positions, whole.positions[: len(episode)])
    assert episode.images["front"] == whole.images["front"][: len(episode)]


def test_a_packed_file_that_lost_its_end_gives_its_beginning(tmp_path):
    bag = make_bag(directory=tmp_path / "bag", steps=90, cameras=("front",), image_size=(96, 96))
    (file,) = bag.glob("*.mcap")
    packed = zstandard.ZstdCompressor().compress(file.read_bytes())
    path = tmp_path / "lone.mcap.zstd"
    path.write_bytes(packed[: int(0.8 * len(packed))])
    episode = read_episode(path)
    assert episode.outcome is Outcome.INCOMPLETE
    assert 20 < len(episode) < 90


def test_the_episodes_before_the_cut_stay_what_they_are(expected, tmp_path):
    bag = write_theirs(
        tmp_path / "bag", ROLLOUTS[MANY], StoragePlugin.MCAP, CompressionMode.NONE, parts=3
    )
    cut(bag / "bag_2.mcap", 0.6)
    first, second = read_episodes(bag)
    assert_same([first], expected[MANY][:1])
    assert second.outcome is Outcome.INCOMPLETE
    cut(bag / "bag_0.mcap", 0.9)
    assert {one.outcome for one in read_episodes(bag)} == {Outcome.INCOMPLETE}


def test_a_last_file_that_was_only_begun_costs_nothing_but_itself(expected, tmp_path):
    bag = write_theirs(
        tmp_path / "bag", ROLLOUTS[MANY], StoragePlugin.MCAP, CompressionMode.NONE, parts=3
    )
    (bag / "metadata.yaml").unlink()
    (bag / "bag_3.mcap").touch()
    assert open_bag(bag).damage == "bag_3.mcap: ends before it begins"
    first, second = read_episodes(bag)
    assert_same([first], expected[MANY][:1])
    assert_same([replace(second, outcome=Outcome.FAILURE)], expected[MANY][1:])
    assert second.outcome is Outcome.INCOMPLETE


def test_a_metadata_file_of_a_later_version_is_refused(tmp_path):
    bag = make_bag(directory=tmp_path / "bag", steps=6)
    path = bag / "metadata.yaml"
    text = path.read_text()
    assert "version: 9" in text
    for version, match in (("10", "version 10, known are 1 to 9"), ("0", "version 0"), ("x", "x")):
        path.write_text(text.replace("version: 9", f"version: {version}", 1))
        with pytest.raises(BagError, match=match):
            read_episode(bag)
    for version in range(1, 9):
        path.write_text(text.replace("version: 9", f"version: {version}", 1))
        assert len(read_episode(bag)) == 6


@pytest.mark.parametrize("version", ["2", "0", "-1", "1.0", "", "9" * 5000])
def test_a_bag_of_a_later_schema_is_refused_and_one_without_is_the_first(tmp_path, version):
    bag = make_bag(directory=tmp_path / "bag", steps=6, custom_data={"schema_version": version})
    with pytest.raises(BagError, match="schema_version"):
        EpisodeReader(bag)
    text = (bag / "metadata.yaml").read_text()
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("schema_version")]
    assert len(kept) < len(text.splitlines())
    (bag / "metadata.yaml").write_text("\n".join(kept))
    assert len(read_episode(bag)) == 6


def test_how_the_streams_were_waited_for_is_said_by_the_bag(tmp_path):
    told = {IS_LOCK_STEP: "false"}
    bag = make_bag(directory=tmp_path / "bag", steps=6, custom_data=told)
    assert open_bag(bag).custom_data[IS_LOCK_STEP] == "false"
    assert isinstance(open_bag(bag).metadata, BagMetadata)
    assert open_bag(bag).is_ours


def test_reading_needs_no_ros(tmp_path):
    bag = make_bag(directory=tmp_path / "bag", steps=6)
    packages = ["rclpy", "sensor_msgs", "diagnostic_msgs", "std_msgs", "rosbag2_py", "rclpy.node"]
    packages += ["geometry_msgs", "trajectory_msgs", "builtin_interfaces", "torch", "mujoco"]
    script = f"""
        import sys
        from pathlib import Path
        for name in {packages!r}:
            sys.modules[name] = None  # importing it fails
        from so101.data.episodes.episode_reader import EpisodeReader
        from so101.data.stores.episode_store import EpisodeStore
        (episode,) = EpisodeReader(Path({str(bag)!r}))
        (entry,) = EpisodeStore(Path({str(bag.parent)!r})).episodes()
        print(len(episode), entry.problem, EpisodeStore(entry.path).verify()[0].problems)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "6  ()\n"), done.stderr
