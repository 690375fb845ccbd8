"""Pictures are the same wherever they come from, and a cache is never trusted nor needed."""

import logging
import multiprocessing
import os
from dataclasses import is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from factories import make_bag, make_episode, make_rollout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from so101.action import ActionSpace
from so101.clock import POLICY_GRID
from so101.config import from_mapping
from so101.data.bags.bag import open_bag
from so101.data.bags.bag_writer import SHA256_KEY
from so101.data.bags.messages import typestore
from so101.data.mapped_file import MAX_MAPS, MappedFile
from so101.data.pictures import bag_cache
from so101.data.pictures.bag_cache import bag_key
from so101.data.pictures.frames import CachedPictures, CompressedPictures, DecodedPictures
from so101.data.pictures.jpegs import HeldJpegs, PlacedJpegs
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training import loading
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.data.training.trimming import TrimConfig
from so101.episode import Outcome
from so101.errors import BagError, ConfigError, StoreError
from so101.events import LabelEvent
from so101.images import decode_image, encode_jpeg
from so101.spec import PolicySpec

CAMERAS = ("front", "wrist")
SPEC = PolicySpec(
    cameras=CAMERAS, image_size=(12, 16), action_space=ActionSpace(horizon=5, execute_steps=2)
)
MEMORY = DatasetConfig(trim=TrimConfig(mode="off"))
SOURCES = {"memory": DecodedPictures, "lazy": CompressedPictures, "cache": CachedPictures}


def write_store(root: Path, episodes: int = 2) -> EpisodeStore:
    for number in range(episodes):
        make_bag(
            directory=root / f"20260102-03040{number}-e{number}",
            cameras=CAMERAS,
            image_size=(48, 64),
            steps=9 + number,
            seed=number,
            episode=f"e{number}",
            outcome=Outcome.SUCCESS,
        )
    return EpisodeStore(root)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("episodes"))


def opened(store, images, cache_dir="", **options) -> EpisodeDataset:
    config = replace(MEMORY, images=images, cache_dir=str(cache_dir), **options)
    return EpisodeDataset.from_store(store, SPEC, config)


def sources(data: EpisodeDataset) -> list:
    return [source for frames in data.frames.values() for source in frames.sources]


def assert_same(one, two) -> None:
    """Compare batches of any kind to the bit."""
    assert type(one) is type(two)
    if is_dataclass(one):
        one, two = vars(one), vars(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        one, two = list(one.values()), list(two.values())
    if isinstance(one, list):
        for left, right in zip(one, two, strict=True):
            assert_same(left, right)
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    else:
        assert one == two


def batches(data: EpisodeDataset, seed: int = 0) -> list:
    rng = np.random.default_rng(seed)
    return [
        data.chunks(rng, 6),
        data.transitions(rng, 6, 3, 0.9),
        data.sequences(rng, 4, 4),
        data[data.draw(rng, 5)],
    ]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=6
)
@given(
    st.sampled_from([(0, 0), (12, 16), (48, 64), (7, 11), (60, 80)]),
    st.sampled_from(["off", "all"]),
    st.integers(1, 3),
)
def test_every_source_gives_every_batch_to_the_bit(store, tmp_path, size, trim, threads):
    made = []
    for images, kind in SOURCES.items():
        config = DatasetConfig(
            trim=TrimConfig(mode=trim),
            images=images,
            cache_dir=str(tmp_path) if images == "cache" else "",
            decode_threads=threads,
        )
        data = EpisodeDataset.from_store(store, replace(SPEC, image_size=size), config)
        assert {type(source) for source in sources(data)} == {kind}
        made.append(batches(data))
    assert_same(made[0], made[1])
    assert_same(made[0], made[2])


@pytest.mark.parametrize("images", ["lazy", "cache"])
def test_episodes_that_come_from_no_bag_work_alike(tmp_path, images):
    episodes = [make_episode(seed=seed, cameras=CAMERAS) for seed in range(2)]
    expected = batches(EpisodeDataset.from_episodes(episodes, SPEC, MEMORY))
    config = replace(MEMORY, images=images, cache_dir=str(tmp_path))
    assert_same(batches(EpisodeDataset.from_episodes(episodes, SPEC, config)), expected)


@pytest.mark.parametrize(
    ("storage", "compression"),
    [
        (StoragePlugin.MCAP, CompressionMode.NONE),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
        (StoragePlugin.MCAP, CompressionMode.MESSAGE),
        (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.SQLITE3, CompressionMode.NONE),
    ],
)
def test_bags_whose_images_lie_in_no_file_work_alike(store, tmp_path, storage, compression):
    ours = open_bag(store.episodes()[0].path)
    writer = Writer(tmp_path / "theirs", version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        topics = {
            topic: writer.add_connection(topic, kind, typestore=typestore())
            for topic, kind in ours.types.items()
        }
        for message in ours.messages():
            writer.write(topics[message.topic], message.log_time_ns, bytes(message.data))
    theirs = EpisodeStore(tmp_path / "theirs")
    expected = batches(opened(theirs, "memory"))
    is_plain = (storage, compression) == (StoragePlugin.MCAP, CompressionMode.NONE)
    held = opened(theirs, "lazy")
    assert {type(s.jpegs) for s in sources(held)} == {PlacedJpegs if is_plain else HeldJpegs}
    assert_same(batches(held), expected)
    for images in ("lazy", "cache", "lazy"):  # the last one finds what the first wrote
        data = opened(theirs, images, tmp_path / "cache")
        assert_same(batches(data), expected)
    assert {type(source.jpegs) for source in sources(data)} == {PlacedJpegs}
    packs = list((tmp_path / "cache").glob("*/*.images"))
    assert len(packs) == (0 if is_plain else 2)
    if not is_plain:
        with pytest.raises(ConfigError, match="set a cache_dir"):
            opened(theirs, "lazy", max_memory_gb=1e-6)


def test_images_that_do_not_fit_in_memory_are_refused_with_the_ways_out(store):
    needed = 19 * 2 * 12 * 16 * 3 / 1e9
    assert len(opened(store, "memory", max_memory_gb=needed)) == 19
    with pytest.raises(ConfigError, match="max_memory_gb") as caught:
        opened(store, "memory", max_memory_gb=needed * 0.99)
    for word in ("first 2 episodes", "images: lazy", "images: cache", "cache_dir"):
        assert word in str(caught.value)
    assert len(opened(store, "lazy", max_memory_gb=0.0)) == 19


def test_a_cache_needs_a_place(store, tmp_path):
    with pytest.raises(ConfigError, match="cache_dir"):
        opened(store, "cache")
    with pytest.raises(ConfigError, match="images"):
        from_mapping(DatasetConfig, {"images": "disk"}, "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        opened(store, "cache", tmp_path / "file" / "cache")


def test_an_opened_bag_is_not_read_again_until_something_changes(tmp_path, monkeypatch):
    store, cache = write_store(tmp_path / "episodes"), tmp_path / "cache"
    read = []
    real = loading.EpisodeReader
    monkeypatch.setattr(
        loading, "EpisodeReader", lambda path, config: read.append(path.name) or real(path, config)
    )
    expected = batches(opened(store, "cache", cache))
    assert len(read) == 2
    for images in SOURCES:
        assert_same(batches(opened(store, images, cache)), expected)
    assert len(read) == 2
    opened(store, "lazy", cache, trim=TrimConfig(mode="all"))
    assert len(read) == 2  # what is trimmed is decided later
    label = LabelEvent(stamp_ns=1, episode="e0", rater="me", outcome="failure")
    store.add_label(label)
    outcomes = opened(store, "lazy", cache).outcomes
    assert outcomes == (Outcome.FAILURE, Outcome.SUCCESS)
    assert read[2:] == ["20260102-030400-e0"]
    reader = replace(MEMORY.reader, max_image_age_s=0.2)
    opened(store, "lazy", cache, reader=reader)
    assert len(read) == 5
    for path in cache.glob("*/*.table"):
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
    assert_same(batches(opened(store, "memory", cache)), expected)
    assert len(read) == 7
    file = next((tmp_path / "episodes").glob("*e1/*.mcap"))
    os.utime(file, ns=(0, 0))
    opened(store, "lazy", cache)
    assert read[7:] == ["20260102-030401-e1"]


@pytest.mark.parametrize("images", SOURCES)
def test_of_a_bag_of_several_episodes_the_unfit_ones_are_named(images, tmp_path):
    first = make_rollout(steps=12, episode="a", cameras=CAMERAS)
    begins = [POLICY_GRID.stamp(tick) for tick in (320, 330)]
    short = make_rollout(steps=1, episode="b", start_ns=begins[0], seed=1, cameras=CAMERAS)
    last = make_rollout(steps=9, episode="c", start_ns=begins[1], seed=2, cameras=CAMERAS)
    messages = first.messages + short.messages + last.messages
    rollout = first._replace(messages=messages)
    make_bag(directory=tmp_path / "episodes" / "all", rollout=rollout, cameras=CAMERAS)
    for _ in range(2):  # the second time from what was kept
        found = opened(EpisodeStore(tmp_path / "episodes"), images, tmp_path / "cache")
        assert found.episodes == ("a", "c")
        (skipped,) = found.skipped
        assert skipped.episode == "b"
        assert "b: " in skipped.reason


def test_a_broken_bag_is_skipped_although_it_was_opened_before(tmp_path):
    store, cache = write_store(tmp_path / "episodes"), tmp_path / "cache"
    opened(store, "cache", cache)
    file = next((tmp_path / "episodes").glob("*e0/*.mcap"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    again = opened(store, "cache", cache)
    assert again.episodes == ("e1",)
    assert "checksum" in again.skipped[0].reason


def cut(data: bytes) -> bytes:
    return data[:-1]


def emptied(data: bytes) -> bytes:
    return b""


def foreign(data: bytes) -> bytes:
    return b"P6 something else entirely " + data


def flipped_header(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


def longer(data: bytes) -> bytes:
    return data + b"\0"


@pytest.mark.parametrize("damage", [cut, emptied, foreign, flipped_header, longer])
def test_a_damaged_cache_is_made_anew_and_said(store, tmp_path, caplog, damage):
    expected = batches(opened(store, "cache", tmp_path))
    files = sorted(tmp_path.glob("*/*.pictures"))
    assert len(files) == 4
    good = [path.read_bytes() for path in files]
    for path, data in zip(files, good, strict=True):
        path.write_bytes(damage(data))
    with caplog.at_level(logging.WARNING):
        assert_same(batches(opened(store, "cache", tmp_path)), expected)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    assert all("made anew" in line for line in said)
    assert {str(path) for path in files} == {line.split(": ")[0] for line in said}
    assert [path.read_bytes() for path in files] == good


def test_pictures_of_something_else_are_not_used(store, tmp_path, caplog):
    expected = batches(opened(store, "cache", tmp_path))
    fronts = sorted(tmp_path.glob("*/front-*.pictures"))
    swapped = [path.read_bytes() for path in fronts]
    for path, data in zip(fronts, reversed(swapped), strict=True):
        path.write_bytes(data)
    assert_same(batches(opened(store, "cache", tmp_path)), expected)
    assert sum("something else" in record.getMessage() for record in caplog.records) == 2


def test_another_size_or_decoder_makes_other_files(store, tmp_path, monkeypatch):
    opened(store, "cache", tmp_path)
    before = set(tmp_path.glob("*/*.pictures"))
    config = replace(MEMORY, images="cache", cache_dir=str(tmp_path))
    EpisodeDataset.from_store(store, replace(SPEC, image_size=(6, 8)), config)
    assert len(set(tmp_path.glob("*/*.pictures")) - before) == 4
    monkeypatch.setattr(bag_cache, "DECODE_VERSION", 99)
    opened(store, "cache", tmp_path)
    assert len(set(tmp_path.glob("*/*-v99-*.pictures"))) == 4


def test_a_crash_while_building_leaves_nothing_that_is_used(store, tmp_path, monkeypatch):
    real, written = CompressedPictures.read_into, []

    def dies(self, row, pixels):
        written.append(row)
        if len(written) == 5:
            raise BagError("the power went")
        real(self, row, pixels)

    with monkeypatch.context() as patched:
        patched.setattr(CompressedPictures, "read_into", dies)
        with pytest.raises(BagError, match="the power went"):
            opened(store, "cache", tmp_path)
    assert not list(tmp_path.glob("*/*.pictures"))
    bag = next(path for path in tmp_path.iterdir())
    (bag / "front-12x16-v1-0123456789abcdef.pictures.part").write_bytes(b"half")
    assert_same(batches(opened(store, "cache", tmp_path)), batches(opened(store, "memory")))


def build(root: str, cache: str, barrier, results) -> None:
    barrier.wait()
    data = opened(EpisodeStore(Path(root)), "cache", cache)
    results.put(int(data[np.arange(len(data))]["image.front"].sum()))


# other tests of the process may have left threads behind; the builders use none of them
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_processes_build_one_cache(store, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    arguments = (str(store.root), str(tmp_path), barrier, results)
    processes = [context.Process(target=build, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    sums = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    data = opened(store, "memory")
    assert sums == {int(data[np.arange(len(data))]["image.front"].sum())}
    assert len(list(tmp_path.glob("*/*.pictures"))) == 4
    assert not list(tmp_path.glob("*/*.part"))


@pytest.mark.parametrize("told", ["../../etc", "", "A" * 64, "0" * 63])
def test_a_bag_cannot_name_a_file_outside_the_cache(store, told):
    entry = store.episodes()[0]
    honest = entry.custom_data[SHA256_KEY]
    assert bag_key(entry) == honest
    computed = bag_key(replace(entry, custom_data={SHA256_KEY: told}))
    assert computed not in (told, honest)
    assert len(computed) == 64


def test_a_broken_image_is_named_when_it_is_looked_at():
    episode = make_episode(steps=6, cameras=("front",), image_size=(24, 32))
    images = list(episode.images["front"])
    images[3] = encode_jpeg(np.zeros((24, 32, 3), np.uint8))[:200]  # a header, no picture
    episode = replace(episode, images={"front": tuple(images)})
    spec = PolicySpec(cameras=("front",), image_size=(12, 16))
    with pytest.raises(BagError):
        decode_image(images[3])
    data = EpisodeDataset.from_episodes([episode], spec, replace(MEMORY, images="lazy"))
    assert data[2]["image.front"].shape == (12, 16, 3)
    with pytest.raises(BagError, match="episode-0: front camera: image"):
        data[3]
    with pytest.raises(BagError, match="episode-0: front camera: image"):
        EpisodeDataset.from_episodes([episode], spec, MEMORY)


def test_only_so_many_files_are_open_at_a_time(tmp_path):
    files = []
    for number in range(MAX_MAPS + 40):
        path = tmp_path / f"{number}"
        path.write_bytes(bytes([number % 251]) * 10)
        files.append(MappedFile.of(path))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for number, file in enumerate(files):
            assert file.content()[9] == number % 251
    assert len(os.listdir("/proc/self/fd")) <= before + MAX_MAPS


def test_a_bag_of_several_episodes_is_opened_from_the_cache_as_it_was_read(tmp_path, monkeypatch):
    """One of them has pictures of another size, and one a picture that cannot be decoded."""
    episodes = [
        make_episode(seed=seed, steps=8, cameras=CAMERAS, image_size=(48, 64 if seed else 80))
        for seed in range(3)
    ]
    images = dict(episodes[2].images)
    images["wrist"] = (encode_jpeg(np.zeros((48, 64, 3), np.uint8))[:300], *images["wrist"][1:])
    episodes[2] = replace(episodes[2], images=images, outcome=Outcome.DISCARDED)
    values = {"advantage": np.arange(8.0)}
    episodes[1] = replace(episodes[1], values=values, aux={"noise": {1: np.zeros((1, 2))}})
    bag = make_bag(directory=tmp_path / "bag", cameras=CAMERAS, outcome=Outcome.SUCCESS)
    read = []

    class Reader:
        def __init__(self, *_) -> None:
            read.append(1)

        def readable(self):
            return episodes, {}

    monkeypatch.setattr(loading, "EpisodeReader", Reader)
    store, made = EpisodeStore(bag), []
    for images, cache in (("memory", ""), ("cache", tmp_path / "c"), ("lazy", tmp_path / "c")):
        data = opened(store, images, cache)
        assert data.episodes == ("episode-0", "episode-1")
        assert data.skipped[0].reason == "is discarded"
        made.append(data[np.arange(16)])
    assert len(read) == 2  # the last one came from the cache
    assert_same(made[0], made[1])
    assert_same(made[0], made[2])
    assert made[2]["value.advantage"][8:].tolist() == list(range(8))
    assert np.isnan(made[2]["value.advantage"][:8]).all()
