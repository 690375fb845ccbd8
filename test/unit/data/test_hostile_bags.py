"""No byte is trusted: a changed bag reads to the same episode, says so, or is refused by name."""

import random
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from bag_layouts import assert_same, write_theirs
from factories import make_bag, make_rollout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from so101.data.bags.bag import open_bag
from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.mcap_file import read_mcap
from so101.data.bags.messages import encode
from so101.data.episodes.episode_reader import read_episodes
from so101.data.episodes.segments import ReaderConfig
from so101.data.episodes.stream_reports import QualityConfig
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Episode, Outcome
from so101.errors import BagError

NAME = "20260102-030405-rollout-1"
ROLLOUT = make_rollout(steps=6, image_size=(8, 8))
LENIENT = ReaderConfig(
    quality=QualityConfig(max_missing=1.0, max_dropped=1.0, max_gap_s=1e6, min_rate_hz=0.0)
)
HEAD = struct.Struct("<BQ")
KINDS = {
    1: "header",
    2: "footer",
    3: "schema",
    4: "channel",
    5: "message head",
    6: "chunk head",
    7: "message index",
    8: "chunk index",
    0x0B: "statistics",
    0x0C: "facts",
    0x0D: "metadata index",
    0x0E: "summary offset",
    0x0F: "data end",
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("ours") / NAME
    return make_bag(directory=directory, rollout=ROLLOUT, outcome=Outcome.SUCCESS)


@pytest.fixture(scope="module")
def expected(ours) -> Episode:
    (episode,) = read_episodes(ours)
    return episode


def regions(data: bytes) -> dict[str, list[range]]:
    """Return where the parts of an MCAP file lie, those of its chunks too."""
    found: dict[str, list[range]] = {"magic": [range(8), range(len(data) - 8, len(data))]}
    chunks: list[tuple[int, int]] = []

    def walk(begin: int, end: int) -> None:
        for kind, at, size in records(data, begin, end):
            body = at + HEAD.size
            if kind == 5:
                found.setdefault("CDR payload", []).append(range(body + 22, body + size))
            head = {5: 22, 6: 8 + 8 + 8 + 4 + 4 + 8}.get(kind, size)
            found.setdefault(KINDS[kind], []).append(range(at, body + head))
            if kind == 6:
                chunks.append((body + head, body + size))

    walk(8, len(data) - 8)
    for chunk in list(chunks):
        walk(*chunk)
    return found


def records(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    while at < end:
        kind, size = HEAD.unpack_from(data, at)
        yield kind, at, size
        at += HEAD.size + size


def changed(bag: Path, root: Path, file: str, data: bytes) -> Path:
    """Return a copy of a bag, in a store of its own, with one file replaced."""
    shutil.rmtree(root, ignore_errors=True)
    copy = root / NAME
    shutil.copytree(bag, copy)
    (copy / file).write_bytes(data)
    return copy


def read(path: Path) -> list[Episode] | None:
    """Read a bag in every way there is; None when it is refused by name."""
    store = EpisodeStore(path.parent)
    entries = store.episodes()
    for checked in store.verify(entries):
        assert all(str(path.parent) in problem for problem in checked.problems), checked.problems
    refusal = ""
    try:
        return read_episodes(path, LENIENT)
    except BagError as error:
        refusal = str(error)
    assert str(path) in refusal
    return None


def check_flip(ours: Path, root: Path, expected: Episode, file: str, bit: int) -> None:
    data = bytearray((ours / file).read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    copy = changed(ours, root, file, bytes(data))
    store = EpisodeStore(root)
    entries = store.episodes()
    problems = [problem for checked in store.verify(entries) for problem in checked.problems]
    if file.endswith(".mcap"):
        assert any(file in problem or str(copy) in problem for problem in problems)
    found = read(copy)
    if not problems:
        (before,) = EpisodeStore(ours.parent).episodes()
        (entry,) = entries
        assert (entry.facts, entry.outcome, entry.messages) == (
            before.facts,
            before.outcome,
            before.messages,
        )
        assert_same(found, [expected])
    elif found is not None and file.endswith(".mcap"):
        for episode in found:
            if episode.outcome is not Outcome.INCOMPLETE:
                assert_same([episode], [expected])


REGIONS = ["magic", *KINDS.values(), "CDR payload"]


@pytest.mark.parametrize("region", REGIONS)
def test_a_flipped_bit_in_any_region_is_found(ours, expected, tmp_path, region):
    (file,) = ours.glob("*.mcap")
    spans = regions(file.read_bytes())[region]
    rng = random.Random(region)
    for _ in range(6):
        span = rng.choice(spans)
        bit = 8 * rng.choice(span) + rng.randrange(8)
        check_flip(ours, tmp_path / "store", expected, file.name, bit)


def test_a_flipped_bit_in_the_metadata_is_found_or_changes_nothing(ours, expected, tmp_path):
    size = (ours / "metadata.yaml").stat().st_size
    rng = random.Random(1)
    for _ in range(40):
        check_flip(ours, tmp_path / "store", expected, "metadata.yaml", rng.randrange(8 * size))


@pytest.mark.chaos
def test_every_flipped_bit_is_found_or_changes_nothing(ours, expected, tmp_path):
    rng = random.Random(2)
    for file in sorted(ours.iterdir()):
        for byte in range(file.stat().st_size):
            bit = 8 * byte + rng.randrange(8)
            check_flip(ours, tmp_path / "store", expected, file.name, bit)


def boundaries(data: bytes) -> list[int]:
    return sorted({span.start for spans in regions(data).values() for span in spans})


def test_a_file_that_ends_between_two_records_gives_what_precedes(ours):
    (file,) = ours.glob("*.mcap")
    data = file.read_bytes()
    whole = [tuple(message) for message in read_mcap(memoryview(data), "x").messages]
    counts = []
    for size in boundaries(data)[1:]:
        found = read_mcap(memoryview(data[:size]), "x")
        assert found.damage
        read = [tuple(message) for message in found.messages]
        assert read == whole[: len(read)]
        counts.append(len(read))
    assert counts == sorted(counts)
    assert counts[-1] == len(whole)


def test_a_bag_that_lost_its_end_is_incomplete_or_refused_wherever_it_was_cut(ours, tmp_path):
    (file,) = ours.glob("*.mcap")
    data = file.read_bytes()
    rng = random.Random(3)
    sizes = [rng.randrange(len(data)) for _ in range(25)] + rng.sample(boundaries(data), 15)
    lengths = []
    for size in sizes:
        found = read(changed(ours, tmp_path / "store", file.name, data[:size]))
        for episode in found or ():
            assert episode.outcome is Outcome.INCOMPLETE
            lengths.append(len(episode))
    assert 1 < min(lengths) < max(lengths) <= 7  # without its last word, a tick longer


STORAGES = [
    (storage, mode)
    for storage in StoragePlugin
    for mode in CompressionMode
    if (storage, mode) != (StoragePlugin.SQLITE3, CompressionMode.STORAGE)
]


@pytest.fixture(scope="module")
def layouts(ours, tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("theirs")
    theirs = [
        write_theirs(root / f"{storage.name}-{mode.name}".lower(), ROLLOUT, storage, mode)
        for storage, mode in STORAGES
    ]
    return [ours, *theirs]


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Return bytes cut, flipped, overwritten, replaced by extreme numbers or said twice."""
    changed = bytearray(data)
    place, kind = rng.randrange(len(data)), rng.randrange(5)
    if kind == 0:
        return data[:place]
    if kind == 1:
        changed[place] ^= 1 << rng.randrange(8)
    elif kind == 2:
        for _ in range(rng.randrange(1, 30)):
            changed[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 3:
        extremes = (b"\xff" * 8, bytes(8), b"\xff\xff\xff\x7f" * 2, b"\0\0\0\x80" * 2)
        changed[place : place + 8] = rng.choice(extremes)
    else:
        piece = data[place : place + rng.randrange(200)]
        at = rng.randrange(len(data))
        changed[at:at] = piece
    return bytes(changed)


def disturb(rng: random.Random, layouts: list[Path], root: Path) -> None:
    bag = rng.choice(layouts)
    file = rng.choice(sorted(bag.iterdir()))
    copy = changed(bag, root, file.name, mutated(rng, file.read_bytes()))
    if file.name != "metadata.yaml" and rng.random() < 0.2:
        (copy / "metadata.yaml").unlink()
    read(copy)


def test_no_change_of_any_layout_crashes_a_reader(layouts, tmp_path):
    rng = random.Random(4)
    for _ in range(120):
        disturb(rng, layouts, tmp_path / "store")


@pytest.mark.chaos
def test_no_change_of_any_layout_crashes_a_reader_for_long(layouts, tmp_path):
    rng = random.Random(5)
    for _ in range(20_000):
        disturb(rng, layouts, tmp_path / "store")


EXTREMES = (
    b"\xff" * 4,
    bytes(4),
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    bytes(6) + b"\xf8\x7f",  # NaN
    bytes(6) + b"\xf0\x7f",  # infinity
)
TIMES = (0, 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
MESSAGES = [(m.topic, encode(m.message), m.log_time_ns) for m in ROLLOUT.messages]


def write_disturbed(rng: random.Random, directory: Path) -> Path:
    """Write a bag with whole checksums and messages that no robot sent."""
    messages = list(MESSAGES)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(messages))
        topic, data, log_time = messages[place]
        kind = rng.randrange(4)
        if kind == 0:
            data = mutated(rng, data or b"x")
        elif kind == 1 and data:
            at, extreme = 4 * rng.randrange(len(data) // 4), rng.choice(EXTREMES)
            data = data[:at] + extreme + data[at + len(extreme) :]
        elif kind == 2:
            data = rng.choice(MESSAGES)[1]  # of another type
        else:
            log_time = rng.choice(TIMES)
        messages[place] = (topic, data, log_time)
    shutil.rmtree(directory, ignore_errors=True)
    writer = BagWriter(directory, list(dict.fromkeys(topic for topic, _, _ in messages)), name="x")
    for topic, data, log_time in messages:
        writer.write(topic.name, data, log_time, 0)
    return writer.close({}).path


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(st.integers(0, 2**32))
def test_no_message_of_any_content_crashes_a_reader(tmp_path, seed):
    read(write_disturbed(random.Random(seed), tmp_path / "store" / NAME))


@pytest.mark.chaos
def test_no_message_of_any_content_crashes_a_reader_for_long(tmp_path):
    for seed in range(10_000):
        read(write_disturbed(random.Random(seed), tmp_path / "store" / NAME))


def test_the_regions_cover_the_whole_file(ours):
    (file,) = ours.glob("*.mcap")
    data = file.read_bytes()
    found = regions(data)
    assert {*found} == {*REGIONS}
    covered = {place for spans in found.values() for span in spans for place in span}
    assert len(covered) == len(data)
    assert len(open_bag(ours)) == len(found["message head"])
