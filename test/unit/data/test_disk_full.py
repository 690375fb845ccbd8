"""A full disk costs the end of one episode and nothing else: real disks, real limits."""

import os
import shutil
import subprocess
import sys
import textwrap
from itertools import count
from pathlib import Path

import pytest

from so101.data.bags.bag import open_bag
from so101.data.bags.bag_writer import BagWriter
from so101.data.bags.custom_data import OUTCOME
from so101.data.bags.mcap_writer import CHUNK_BYTES
from so101.data.durable import NoSpaceError
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import EpisodeFacts, Outcome
from so101.errors import StoreError
from so101.topics import TASK

DISK_BYTES = 3_800_000
MESSAGE = os.urandom(20_000)
LOST = 20 + CHUNK_BYTES // len(MESSAGE)
"""What makes room for the bag's end, and a chunk [messages]."""
WALL = "20260102-030405"


@pytest.fixture
def small_disk(tmp_path):
    """Mount a small file system."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(disk)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def record_until_refused(recording, numbers) -> None:
    for number in numbers:
        recording.write("task", MESSAGE, number, number)


def fill_disk(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


def fill(store: EpisodeStore, episode: str) -> int:
    """Record until the disk refuses; return how many messages it took."""
    recording = store.begin(EpisodeFacts(id=episode), [TASK], WALL)
    numbers = count()
    with pytest.raises(StoreError, match="no space left"):
        record_until_refused(recording, numbers)
    taken = next(numbers) - 1
    entry = recording.finish(Outcome.SUCCESS, {"problem": "disk"})
    assert entry.outcome is Outcome.INCOMPLETE
    return taken


def test_a_full_disk_ends_the_episode_as_incomplete_and_refuses_the_next_one(small_disk):
    store = EpisodeStore(small_disk / "episodes", min_free_bytes=1_500_000)
    taken = fill(store, "a")
    (entry,) = store.episodes()
    assert entry.is_incomplete
    assert entry.custom_data["problem"] == "disk"
    bag = open_bag(entry.path, check_all=True)
    assert not bag.is_recovered
    kept = [message.log_time_ns for message in bag.messages()]
    assert kept == list(range(len(kept)))
    assert taken - LOST < len(kept) <= taken  # a chunk, and what made room for the bag's end
    assert all(bytes(message.data) == MESSAGE for message in bag.messages())
    assert store.verify()[0].problems[0].endswith("no topic joint_states, joint_commands, episode")
    with pytest.raises(StoreError, match="GB free, an episode needs"):
        store.begin(EpisodeFacts(id="b"), [TASK], WALL)
    assert list(store.root.glob("*.part")) == []
    shutil.rmtree(entry.path)
    recording = store.begin(EpisodeFacts(id="b"), [TASK], WALL)  # there is room again
    recording.write("task", MESSAGE, 0, 0)
    assert recording.finish(Outcome.SUCCESS, {}).outcome is Outcome.SUCCESS
    store.close()


def test_without_any_room_the_part_waits_until_there_is_some(small_disk):
    store = EpisodeStore(small_disk / "episodes", min_free_bytes=0)
    recording = store.begin(EpisodeFacts(id="a"), [TASK], WALL)
    recording.write("task", MESSAGE, 0, 0)
    recording.flush()
    hog = small_disk / "hog"
    with pytest.raises(OSError, match="space"):
        fill_disk(hog)
    with pytest.raises(NoSpaceError, match="no space left"):
        recording.finish(Outcome.SUCCESS, {})
    assert [path.suffix for path in store.root.glob("2*")] == [".part"]
    with pytest.raises(NoSpaceError):
        store.recover()
    assert [path.suffix for path in store.root.glob("2*")] == [".part"]
    hog.unlink()
    (found,) = store.recover()
    assert [bytes(m.data) for m in open_bag(found.path).messages()] == [MESSAGE]
    assert store.episodes()[0].is_incomplete
    store.close()


LIMITED = """
    import resource, signal, sys
    from pathlib import Path
    from so101.data.stores.episode_store import EpisodeStore
    from so101.episode import EpisodeFacts, Outcome
    from so101.errors import StoreError
    from so101.topics import TASK

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, 8_000_000))
    store = EpisodeStore(Path(sys.argv[1]), min_free_bytes=0)
    for name in ("a", "b"):
        recording = store.begin(EpisodeFacts(id=name), [TASK], "20260102-030405")
        taken = 0
        try:
            for taken in range(1000):
                recording.write("task", bytes(20_000), taken, taken)
        except StoreError as error:
            print(name, taken, error)
        print(recording.finish(Outcome.SUCCESS, {}).outcome.value)
"""


def test_a_limit_on_the_size_of_files_ends_an_episode_and_not_the_process(tmp_path):
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if "no space left" not in line] == ["incomplete"] * 2
    assert "File too large" in lines[0]
    taken = int(lines[0].split()[1])
    for entry in EpisodeStore(tmp_path).episodes():
        assert entry.is_incomplete
        assert entry.custom_data[OUTCOME] == "incomplete"
        bag = open_bag(entry.path, check_all=True)
        assert taken - LOST < len(bag) <= taken
        assert next(entry.path.glob("*.mcap")).stat().st_size <= 8_000_000


@pytest.fixture
def read_only(tmp_path):
    """Return a store that was recorded and can be written no more."""
    root = tmp_path / "store"
    store = EpisodeStore(root, min_free_bytes=0)
    recording = store.begin(EpisodeFacts(id="a"), [TASK], WALL)
    recording.write("task", MESSAGE, 0, 0)
    recording.finish(Outcome.SUCCESS, {})
    store.close()
    try:
        subprocess.run(["mount", "--bind", str(root), str(root)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if os.geteuid() == 0:
            pytest.skip("mounting read-only is not permitted here, and root may write anywhere")
        root.chmod(0o500)
        yield root
        root.chmod(0o700)
        return
    subprocess.run(["mount", "-o", "remount,ro,bind", str(root)], check=True)
    yield root
    subprocess.run(["umount", str(root)], check=True)


def test_a_read_only_store_is_read_and_says_that_it_cannot_be_written(read_only):
    store = EpisodeStore(read_only, min_free_bytes=0)
    (entry,) = store.episodes()
    assert len(open_bag(entry.path)) == 1
    for write in (
        store.lock,
        store.recover,
        store.rebuild_index,
        lambda: store.begin(EpisodeFacts(id="b"), [TASK], WALL),
        lambda: BagWriter(read_only / "c", [TASK], name="c"),
    ):
        with pytest.raises(StoreError, match=f"{read_only}.*cannot be written"):
            write()
