"""SIGKILL at any moment: no finished episode is lost, the open one ends at most 0.5 s earlier."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from recorder_node.raw_message import header_stamp_ns
from so101.data.bags.bag import open_bag
from so101.data.episodes.segments import find_segments
from so101.data.episodes.timeline import read_timeline
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import Outcome
from so101.robot import JOINTS
from so101.topics import JOINT_STATES

SCRIPT = Path(__file__).with_name("recording_process.py")
ROOT = Path(__file__).parents[3]
HALF_NS = 500_000_000
LONGEST_S = 4.0


class Recording:
    """A process that records, and what it said before it was killed."""

    def __init__(self, store: Path, kind: str) -> None:
        self.store = store
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(store), kind],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'test'}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def kill(self, after_s: float) -> None:
        time.sleep(after_s)
        self._process.send_signal(signal.SIGKILL)
        lines = [line.split() for line in self._process.communicate(timeout=30)[0].splitlines()]
        assert self._process.returncode == -signal.SIGKILL
        self.saved = {words[1]: int(words[2]) for words in lines if words[0] == "saved"}
        assert not [words for words in lines if words[0] == "lost"]
        self.begun = {f"demo-{int(w[1]):04d}": int(w[2]) for w in lines if w[0] == "begin"}
        self.stamps = {f"demo-{int(w[1]):04d}": int(w[2]) for w in lines if w[0] == "stamp"}

    def open_episodes(self) -> list[str]:
        return [name for name in self.stamps if name not in self.saved]


def newest_stamp(path: Path) -> int:
    found = open_bag(path).messages([f"/{JOINT_STATES.name}"])
    return max((header_stamp_ns(JOINT_STATES, bytes(m.data)) for m in found), default=0)


def check_episodes(recording: Recording) -> None:
    """A bag per episode."""
    store = EpisodeStore(recording.store, min_free_bytes=0)
    store.recover()
    entries = {entry.facts.id: entry for entry in store.episodes()}
    for name, messages in recording.saved.items():
        assert entries[name].outcome is Outcome.SUCCESS
        assert entries[name].messages == messages
    for checked in store.verify():
        assert checked.problems == (), checked
    for name in recording.open_episodes():
        last_ns = recording.stamps[name]
        if name not in entries:
            assert last_ns - recording.begun[name] <= HALF_NS, name
            continue
        assert newest_stamp(entries[name].path) >= last_ns - HALF_NS
        # Killed between the bag's last rename and the word on it, it is whole.
        is_whole = entries[name].outcome is Outcome.SUCCESS
        assert is_whole or entries[name].is_incomplete
        assert not is_whole or last_ns - recording.begun[name] == 54 * 1_000_000_000 // 60
    store.close()
    assert list(recording.store.glob("*.part")) == []


def check_continuous(recording: Recording) -> None:
    """One split bag of all episodes."""
    store = EpisodeStore(recording.store, min_free_bytes=0)
    store.recover()
    last_ns = max(recording.stamps.values(), default=0)
    if not store.episodes():  # killed before anything had to be on the disk
        assert last_ns <= HALF_NS
        return
    (entry,) = store.episodes()
    assert entry.is_incomplete
    assert store.verify()[0].problems == ()
    assert newest_stamp(entry.path) >= last_ns - HALF_NS
    bag = open_bag(entry.path)
    timeline = read_timeline(bag, JOINTS, "/")
    segments = {one.facts.id: one for one in find_segments(bag, timeline)} if len(bag) else {}
    stamps = timeline.stamps(JOINT_STATES.name)
    for name in recording.saved:
        start_ns, end_ns = segments[name].start_ns, segments[name].end_ns
        assert segments[name].outcome is Outcome.SUCCESS
        assert ((stamps >= start_ns) & (stamps <= end_ns)).sum() == 55
    store.close()


CHECKS = {"episodes": check_episodes, "continuous": check_continuous}


def kill_and_check(directory: Path, kind: str, times_s: list[float]) -> int:
    """Kill one recording after each of some times, two side by side; return how many saved."""
    saved = 0
    for first in range(0, len(times_s), 2):
        pair = []
        for number, after_s in enumerate(times_s[first : first + 2], first):
            pair.append((after_s, Recording(directory / f"{kind}-{number}", kind)))
        for after_s, recording in pair:
            recording.kill(after_s)
        for _, recording in pair:
            CHECKS[kind](recording)
            saved += len(recording.saved)
    return saved


@pytest.mark.parametrize("kind", CHECKS)
def test_a_recorder_killed_at_a_random_time_loses_at_most_half_a_second(tmp_path, kind):
    random = Random(kind)
    times = [0.0, *(random.uniform(0.0, 1.6) for _ in range(3))]
    assert kill_and_check(tmp_path, kind, times) > 0


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "kills"), [("episodes", 100), ("continuous", 30)])
def test_a_recorder_killed_at_a_hundred_random_times(tmp_path, kind, kills):
    random = Random(f"chaos {kind}")
    times = [random.uniform(0.0, LONGEST_S) for _ in range(kills)]
    assert kill_and_check(tmp_path, kind, times) > kills
