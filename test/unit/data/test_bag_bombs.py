"""A few bytes that stand for gigabytes or for ever: refused in little memory and little time.

They are read in a process with a limit on its address space, for what overflows a stack or fills
the memory would take the tests with it.
"""

import json
import os
import sqlite3
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from factories import START_NS, make_bag, make_rollout
from mcap.writer import CompressionType, Writer

from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.messages import definition, encode
from so101.topics import JOINT_STATES, recorded_topics

MAX_RESIDENT_KB = 700_000
MAX_S = 10
MAGIC = b"\x89MCAP0\r\n"
ROOT = Path(__file__).parents[3]
READ = """
    import json, resource, sys, time
    from pathlib import Path
    from so101.data.episodes.episode_reader import read_episodes
    from so101.data.stores.episode_store import EpisodeStore
    from so101.errors import BagError
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    for name in sys.argv[1:]:
        path, began = Path(name), time.process_time()
        try:
            said = f"{len(read_episodes(path))} episodes"
        except BagError as error:
            said = str(error)
        store = EpisodeStore(path.parent)
        checked = store.verify(store.episodes())
        # ru_maxrss would also count what the process that started this one held
        status = Path("/proc/self/status").read_text().split("VmHWM:")
        resident_kb = int(status[1].split()[0])
        took_s = time.process_time() - began
        print(json.dumps([name, said, len(checked), resident_kb, took_s]), flush=True)
"""


Outcomes = dict[Callable[[Path], Path], list[Any]]


def record(kind: int, body: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(body)) + body


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def chunk(packed: bytes, compression: str, size: int) -> bytes:
    head = struct.pack("<QQQI", 0, 0, size, 0) + text(compression)
    return record(6, head + struct.pack("<Q", len(packed)) + packed)


def mcap(*records: bytes) -> bytes:
    footer = record(2, bytes(20))
    return MAGIC + record(1, text("ros2") + text("x")) + b"".join(records) + footer + MAGIC


def zeros(size: int) -> bytes:
    compressor = zstandard.ZstdCompressor(level=1)
    return compressor.compress(bytes(size))


def repeated(piece: bytes, times: int) -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    block = piece * (1 + (1 << 20) // len(piece))
    rounds = times * len(piece) // len(block)
    return b"".join([*(packer.compress(block) for _ in range(rounds)), packer.flush()])


def topic_records() -> bytes:
    schema = record(3, struct.pack("<H", 1) + text("std_msgs/msg/Header") + text("") + text(""))
    channel = record(4, struct.pack("<HH", 1, 1) + text("/x") + text("cdr") + text(""))
    return schema + channel


def a_large_chunk(directory: Path) -> Path:
    size = 1 << 29
    (directory / "x.mcap").write_bytes(mcap(chunk(zeros(size), "zstd", size)))
    return directory / "x.mcap"


def many_chunks(directory: Path) -> Path:
    size = 1 << 27
    (directory / "x.mcap").write_bytes(mcap(*[chunk(zeros(size), "zstd", size)] * 40))
    return directory / "x.mcap"


def a_large_lz4_chunk(directory: Path) -> Path:
    size = 1 << 26
    packed = lz4.frame.compress(bytes(size))
    (directory / "x.mcap").write_bytes(mcap(*[chunk(packed, "lz4", size)] * 9))
    return directory / "x.mcap"


def a_frame_that_claims_little(directory: Path) -> Path:
    packed = zeros(1 << 29)
    (directory / "x.mcap").write_bytes(mcap(chunk(packed, "zstd", 100)))
    return directory / "x.mcap"


def many_messages_of_nothing(directory: Path) -> Path:
    empty = record(5, struct.pack("<HIQQ", 1, 0, 1, 1))
    times = (100 << 20) // len(empty)
    packed = repeated(empty, times)
    size = len(zstandard.ZstdDecompressor().stream_reader(packed).read(1 << 29))
    (directory / "x.mcap").write_bytes(mcap(topic_records(), chunk(packed, "zstd", size)))
    return directory / "x.mcap"


def many_records_of_nothing(directory: Path) -> Path:
    packed = repeated(record(7, b""), (100 << 20) // 9)
    size = len(zstandard.ZstdDecompressor().stream_reader(packed).read(1 << 29))
    (directory / "x.mcap").write_bytes(mcap(chunk(packed, "zstd", size)))
    return directory / "x.mcap"


def a_billion_keys(directory: Path) -> Path:
    body = struct.pack("<HH", 1, 1) + text("/x") + text("cdr") + struct.pack("<I", 2**32 - 1)
    (directory / "x.mcap").write_bytes(mcap(topic_records(), record(4, body)))
    return directory / "x.mcap"


def a_packed_file(directory: Path) -> Path:
    (directory / "x.mcap.zstd").write_bytes(zeros(1 << 30))
    return directory / "x.mcap.zstd"


def a_packed_database(directory: Path) -> Path:
    (directory / "x.db3.zstd").write_bytes(zeros(1 << 30))
    return directory / "x.db3.zstd"


def packed_messages(directory: Path) -> Path:
    with (directory / "x.mcap").open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.NONE)
        writer.start(profile="ros2", library="x")
        content = definition(JOINT_STATES.type).text.encode()
        schema = writer.register_schema(JOINT_STATES.type, "ros2msg", content)
        channel = writer.register_channel("/joint_states", "cdr", schema)
        packed = zeros(1 << 28)
        for number in range(10):
            writer.add_message(channel, number, packed, number)
        writer.finish()
    return directory / "x.mcap"


def nested_yaml(opening: str) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        bag = make_bag(directory=directory / "bag", steps=3, cameras=())
        (bag / "metadata.yaml").write_text(opening * 300_000)
        return bag

    return make


def alias_yaml(directory: Path) -> Path:
    bag = make_bag(directory=directory / "bag", steps=3, cameras=())
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    path = bag / "metadata.yaml"
    path.write_text("\n".join(lines) + "\n" + path.read_text().replace("9", "*a19", 1))
    return bag


def merging_yaml(directory: Path) -> Path:
    bag = make_bag(directory=directory / "bag", steps=3, cameras=())
    lines = ["m0: &m0 {x: y}"]
    lines += [f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, 60)]
    path = bag / "metadata.yaml"
    path.write_text("\n".join(lines) + "\n" + path.read_text())
    return bag


def a_number_in_base_60(directory: Path) -> Path:
    bag = make_bag(directory=directory / "bag", steps=3, cameras=())
    path = bag / "metadata.yaml"
    path.write_text(path.read_text().replace("version: 9", "version: 1" + ":59" * 500_000))
    return bag


def one_file_many_times(directory: Path) -> Path:
    bag = make_bag(directory=directory / "bag", steps=3, cameras=())
    path = bag / "metadata.yaml"
    line = "  - rollout-1_0.mcap\n"
    path.write_text(path.read_text().replace(line, line * 10_000))
    return bag


def a_view_without_end(directory: Path) -> Path:
    path = directory / "x.db3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE topics (id, name, type, serialization_format)")
        database.execute("INSERT INTO topics VALUES (1, '/x', 'std_msgs/msg/Header', 'cdr')")
        database.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
            "FROM n) SELECT i AS id, 1 AS topic_id, i AS timestamp, zeroblob(1000) AS data FROM n"
        )
    database.close()
    return path


def a_column_that_is_computed(directory: Path) -> Path:
    path = directory / "x.db3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE topics (id, name, type, serialization_format)")
        database.execute("INSERT INTO topics VALUES (1, '/x', 'std_msgs/msg/Header', 'cdr')")
        database.execute(
            "CREATE TABLE messages (id, topic_id, timestamp, data GENERATED ALWAYS AS "
            "(zeroblob(500000000)))"
        )
        rows = [(number, 1, number) for number in range(100)]
        database.executemany("INSERT INTO messages VALUES (?, ?, ?)", rows)
    database.close()
    return path


def counts_of_billions(directory: Path) -> Path:
    """Give every message the greatest count wherever a count may be."""
    rollout = make_rollout(steps=3, cameras=("front",), image_size=(8, 8))
    topics = recorded_topics(("front",))
    writer = BagWriter(directory / "bag", topics, name="x")
    for m in rollout.messages:
        data = encode(m.message)
        for at in range(12, len(data) - 4, 4):
            changed = data[:at] + b"\xff\xff\xff\x03" + data[at + 4 :]  # just allowed
            writer.write(m.topic.name, changed, m.log_time_ns, 0)
    return writer.close({}).path


def an_episode_of_a_lifetime(directory: Path) -> Path:
    rollout = make_rollout(steps=3, cameras=())
    late = make_rollout(steps=3, cameras=(), start_ns=START_NS + 30_000 * 10**9)
    first = [m for m in rollout.messages if "succeeded" not in str(m.message)]
    last = [m for m in late.messages if "running" not in str(m.message)]
    both = rollout._replace(messages=first + last)
    return make_bag(directory=directory / "bag", rollout=both, cameras=())


def a_file_that_is_a_directory(directory: Path) -> Path:
    (directory / "x.mcap").mkdir()
    return directory / "x.mcap"


def links_in_a_circle(directory: Path) -> Path:
    (directory / "a").mkdir()
    (directory / "a" / "x.mcap").symlink_to(directory / "a" / "y.mcap")
    (directory / "a" / "y.mcap").symlink_to(directory / "a" / "x.mcap")
    (directory / "b.mcap").symlink_to(directory / "b.mcap")
    (directory / "c").mkdir()
    (directory / "c" / "metadata.yaml").symlink_to(directory / "c" / "metadata.yaml")
    return directory / "a"


def a_pipe(directory: Path) -> Path:
    bag = make_bag(directory=directory / "bag", steps=3, cameras=())
    (bag / "metadata.yaml").unlink()
    os.mkfifo(bag / "metadata.yaml")
    return bag


def a_pipe_for_messages(directory: Path) -> Path:
    (directory / "bag").mkdir()
    os.mkfifo(directory / "bag" / "x.mcap")
    return directory / "bag"


BOMBS = (
    a_large_chunk,
    many_chunks,
    a_large_lz4_chunk,
    a_frame_that_claims_little,
    many_messages_of_nothing,
    many_records_of_nothing,
    a_billion_keys,
    a_packed_file,
    a_packed_database,
    packed_messages,
    nested_yaml("["),
    nested_yaml("{a: "),
    nested_yaml("- "),
    nested_yaml("? "),
    alias_yaml,
    merging_yaml,
    a_number_in_base_60,
    one_file_many_times,
    a_view_without_end,
    a_column_that_is_computed,
    counts_of_billions,
    an_episode_of_a_lifetime,
    a_file_that_is_a_directory,
    links_in_a_circle,
    a_pipe,
    a_pipe_for_messages,
)


READABLE = (merging_yaml,)  # what it multiplies is not part of the metadata


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> Outcomes:
    """Read all bombs in one process of little memory; it must survive every one of them."""
    paths = {make: make(tmp_path_factory.mktemp("bomb")) for make in BOMBS}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READ), *map(str, paths.values())],
        capture_output=True,
        text=True,
        timeout=MAX_S * len(BOMBS),
        cwd=ROOT,
        check=False,
    )
    read = {name: said for name, *said in map(json.loads, done.stdout.splitlines())}
    died = f"the reader died with {done.returncode}: {done.stderr[-2000:]}"
    return {make: read.get(str(path), [died, 0, 0, 0.0]) for make, path in paths.items()}


@pytest.mark.parametrize("make", BOMBS, ids=lambda make: make.__qualname__.split(".")[0])
def test_it_is_refused_in_little_memory_and_time(outcomes, make):
    said, checked, resident_kb, took_s = outcomes[make]
    assert "/bomb" in said or (make in READABLE and said == "1 episodes"), said
    assert checked <= 3
    assert 0 < resident_kb < MAX_RESIDENT_KB
    assert took_s < MAX_S
