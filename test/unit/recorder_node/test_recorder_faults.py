"""The recorder when something goes wrong: silence, losses, full disks, clocks that jump."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from factories import event_message, joint_message

from recorder_node.continuous_recorder import ContinuousRecorder
from recorder_node.episode_recorder import EpisodeRecorder
from recorder_node.raw_message import header_stamp_ns
from recorder_node.recorder_setup import RecorderSetup
from recorder_node.ring import Ring
from so101.clock import CONTROL_GRID, NS_PER_S
from so101.data.bags.bag import open_bag
from so101.data.bags.bag_writer import FLUSH_NS, Split
from so101.data.bags.custom_data import published_from_text
from so101.data.bags.mcap_file import read_mcap
from so101.data.bags.messages import create, encode
from so101.data.episodes.episode_reader import read_episodes
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import ControlSource, EpisodeFacts, EpisodeState, Outcome
from so101.errors import StoreError
from so101.events import ControlEvent, EpisodeEvent
from so101.robot import JOINTS
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    ROBOT_DESCRIPTION,
    TASK,
)

TOPICS = (JOINT_STATES, JOINT_COMMANDS, TASK, EPISODE, CONTROL_SOURCE, ROBOT_DESCRIPTION)
LATCHED = (TASK, EPISODE, CONTROL_SOURCE, ROBOT_DESCRIPTION)
HOUR_NS = 3600 * NS_PER_S
LENGTH = 20
FAR = Split(max_bytes=1 << 40, max_ns=1 << 60)


class Robot:
    """Publishes to a recorder, one control tick after the other; holds both of its clocks."""

    def __init__(self, root: Path, *, is_lock_step=True, split: Split | None = None, free=None):
        self.steady_ns = 5 * NS_PER_S
        self.system_ns = 100 * HOUR_NS
        self.tick = 0
        self.store = EpisodeStore(root, min_free_bytes=1000, free=free or (lambda _: 10**12))
        self.store.lock()
        setup = RecorderSetup(
            topics=TOPICS,
            paced=(JOINT_STATES.name, JOINT_COMMANDS.name),
            is_lock_step=is_lock_step,
        )
        clocks = {"wall_time": lambda: "20260101-120000", "steady_ns": lambda: self.steady_ns}
        if split is None:
            self.recorder = EpisodeRecorder(self.store, setup, **clocks)
        else:
            self.recorder = ContinuousRecorder(self.store, setup, split, **clocks)
        self.told = []
        self.sent = {topic.name: [] for topic in TOPICS}

    def say(self, topic, data, lost_before=0):
        self.sent[topic.name].append(data)
        self.recorder.on_message(topic, data, self.system_ns, lost_before)

    def latch(self):
        text = create("std_msgs/msg/String", data="pick")
        self.say(TASK, encode(text))
        self.say(ROBOT_DESCRIPTION, encode(text))
        control = ControlEvent(stamp_ns=self.stamp_ns, source=ControlSource.TELEOP)
        self.say(CONTROL_SOURCE, encode(event_message(control.to_event())))

    @property
    def stamp_ns(self):
        return CONTROL_GRID.stamp(self.tick)

    def step(self, ticks=1, lost_before=0):
        for _ in range(ticks):
            joints = encode(joint_message(self.stamp_ns, np.full(len(JOINTS), 0.5)))
            self.say(JOINT_STATES, joints, lost_before)
            self.say(JOINT_COMMANDS, joints)
            self.tick += 1
            self.pass_time(NS_PER_S // 60)

    def pass_time(self, duration_ns):
        self.steady_ns += duration_ns
        self.system_ns += duration_ns
        while (status := self.recorder.poll()) is not None:
            self.told.append(status)

    def enter(self, state, name="demo-0000"):
        facts = EpisodeFacts(id=name, source="none", phase="demonstrations")
        event = EpisodeEvent(stamp_ns=self.stamp_ns, state=state, facts=facts)
        lost = self.recorder.on_episode(event)
        if lost is not None:
            self.told.append(lost)
        self.say(EPISODE, encode(event_message(event.to_event())))

    def run(self, name, ticks=LENGTH):
        self.enter(EpisodeState.RUNNING, name)
        self.step(ticks)
        self.enter(EpisodeState.SUCCEEDED, name)
        self.step(3)


def stamps(path, topic=JOINT_STATES):
    found = open_bag(path).messages([f"/{topic.name}"])
    return [header_stamp_ns(topic, bytes(message.data)) for message in found]


def test_what_waits_reaches_the_disk_though_nothing_arrives(tmp_path):
    robot = Robot(tmp_path)
    robot.enter(EpisodeState.RUNNING)
    robot.step(3)
    file = next(tmp_path.glob("*.part/*.mcap"))
    robot.pass_time(FLUSH_NS)
    found = read_mcap(memoryview(file.read_bytes()), "x").messages
    assert len(found) == 2 * 3 + 1
    assert FLUSH_NS < NS_PER_S // 2


def test_latched_topics_are_in_every_bag_and_after_a_restart(tmp_path):
    robot = Robot(tmp_path)
    robot.latch()
    robot.run("demo-0000")
    robot.run("demo-0001")
    robot.store.close()
    again = Robot(tmp_path)
    again.tick = robot.tick
    again.latch()  # the middleware says it again to whoever comes later
    again.run("demo-0002")
    assert [status.state for status in (*robot.told, *again.told)] == ["saved"] * 3
    for status in (*robot.told, *again.told):
        counts = open_bag(Path(status.path)).counts()
        assert all(counts[f"/{topic.name}"] >= 1 for topic in LATCHED), counts


def test_messages_that_never_arrived_are_counted_wherever_it_is_said(tmp_path):
    robot = Robot(tmp_path)
    robot.step(3, lost_before=1)  # before the episode: none of its business
    robot.enter(EpisodeState.RUNNING)
    robot.step(4)
    robot.step(1, lost_before=5)
    robot.step(4)
    robot.enter(EpisodeState.SUCCEEDED)
    robot.step(1)
    robot.say(JOINT_STATES, encode(joint_message(robot.stamp_ns, np.zeros(6))), 2)
    robot.step(1)
    (status,) = robot.told
    assert (status.state, status.outcome) == ("saved", "success")
    assert status.missing in (5, 7)  # the last two may be of the time after the end
    assert "joint_states never arrived" in status.reason
    (checked,) = robot.store.verify()
    published = published_from_text(checked.entry.custom_data, "x")
    assert published["joint_states"] == len(stamps(Path(status.path))) + status.missing
    assert any("joint_states: " in problem for problem in checked.problems)
    assert "never arrived" in checked.entry.custom_data["problem"]
    values = robot.recorder.report(0, {}).values
    assert values["joint_states: lost"] == "10"


def test_a_loss_of_the_last_message_is_seen_by_what_comes_after_it(tmp_path):
    robot = Robot(tmp_path)
    robot.enter(EpisodeState.RUNNING)
    robot.step(LENGTH)
    robot.enter(EpisodeState.SUCCEEDED)
    joints = encode(joint_message(CONTROL_GRID.stamp(robot.tick + 1), np.zeros(6)))
    robot.say(JOINT_STATES, joints, lost_before=1)
    robot.say(JOINT_COMMANDS, joints)
    robot.pass_time(1)
    assert [status.missing for status in robot.told] == [1]


def test_what_the_ring_dropped_of_an_episode_is_counted_and_announced(tmp_path):
    robot = Robot(tmp_path)
    robot.recorder._ring = Ring(max_bytes=2000)
    begin_ns = robot.stamp_ns
    robot.step(20)
    facts = EpisodeFacts(id="late", source="none")
    event = EpisodeEvent(stamp_ns=begin_ns, state=EpisodeState.RUNNING, facts=facts)
    robot.recorder.on_episode(event)
    robot.step(10)
    robot.enter(EpisodeState.SUCCEEDED, "late")
    robot.step(2)
    (status,) = robot.told
    kept = len(stamps(Path(status.path))) + len(stamps(Path(status.path), JOINT_COMMANDS))
    assert 0 < status.missing < 40
    assert kept + status.missing == 2 * 31
    assert "did not fit into the ring" in status.reason
    (checked,) = robot.store.verify()
    assert any("joint_states" in problem for problem in checked.problems)
    assert int(robot.recorder.report(0, {}).values["ring: dropped"]) > 0


@pytest.fixture
def full_disk(monkeypatch):
    """Return a switch: while it is set, every write of more than 1 kB is refused."""
    switch = {"is_full": False}
    real = os.write

    def write(descriptor, data):
        if switch["is_full"] and len(data) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    return switch


def test_a_full_disk_costs_one_episode_and_the_recorder_goes_on(tmp_path, full_disk):
    room = [10**12]
    robot = Robot(tmp_path, free=lambda _: room[0])
    robot.enter(EpisodeState.RUNNING, "demo-0000")
    robot.step(LENGTH)
    full_disk["is_full"], room[0] = True, 10
    robot.step(LENGTH)
    assert "no space left" in robot.recorder.report(0, {}).message
    robot.enter(EpisodeState.SUCCEEDED, "demo-0000")
    robot.step(3)
    (lost,) = robot.told
    assert (lost.state, lost.outcome) == ("lost", "incomplete")
    assert "no space left" in lost.reason
    (entry,) = robot.store.episodes()
    assert entry.is_incomplete
    assert str(entry.path) == lost.path
    published = published_from_text(entry.custom_data, "x")
    assert published["joint_states"] == 2 * LENGTH + 1
    assert "were refused by the disk" in entry.custom_data["problem"]
    robot.run("demo-0001")
    assert (robot.told[-1].state, robot.told[-1].episode) == ("lost", "demo-0001")
    assert "GB free, an episode needs" in robot.told[-1].reason
    full_disk["is_full"], room[0] = False, 10**12
    robot.run("demo-0002")
    assert (robot.told[-1].state, robot.told[-1].episode) == ("saved", "demo-0002")


def test_an_episode_whose_end_nobody_said_is_closed_as_incomplete(tmp_path):
    robot = Robot(tmp_path)
    robot.enter(EpisodeState.RUNNING, "demo-0000")
    robot.step(LENGTH)
    robot.run("demo-0001")
    assert [(s.episode, s.state) for s in robot.told] == [
        ("demo-0000", "lost"),
        ("demo-0001", "saved"),
    ]
    assert [e.outcome for e in robot.store.episodes()] == [Outcome.INCOMPLETE, Outcome.SUCCESS]


JUMPS = [HOUR_NS, -HOUR_NS]


@pytest.mark.parametrize("jump_ns", JUMPS, ids=["forward", "back"])
@pytest.mark.parametrize("is_lock_step", [True, False], ids=["lock-step", "free"])
@pytest.mark.parametrize("split", [None, FAR], ids=["episodes", "continuous"])
def test_a_jump_of_the_clock_loses_and_reorders_nothing(tmp_path, jump_ns, is_lock_step, split):
    """In the ring before an episode, in its middle, and back again."""
    robot = Robot(tmp_path, is_lock_step=is_lock_step, split=split)
    robot.step(5)
    robot.system_ns += jump_ns
    first = robot.tick
    robot.step(3)
    begin = robot.tick
    facts = EpisodeFacts(id="demo-0000", source="none")
    stamp_ns = CONTROL_GRID.stamp(first)
    robot.recorder.on_episode(
        EpisodeEvent(stamp_ns=stamp_ns, state=EpisodeState.RUNNING, facts=facts)
    )
    robot.step(LENGTH)
    robot.system_ns -= jump_ns
    robot.step(LENGTH)
    robot.enter(EpisodeState.SUCCEEDED)
    robot.step(3)
    robot.recorder.abort()
    (status,) = robot.told
    assert (status.state, status.missing) == ("saved", 0)
    (entry,) = robot.store.episodes()
    last = begin + 2 * LENGTH
    for topic in (JOINT_STATES, JOINT_COMMANDS):
        found = [at for at in stamps(entry.path, topic) if stamp_ns <= at]
        expected = [CONTROL_GRID.stamp(tick) for tick in range(first, last + 3)]
        assert found[: last - first + 1] == expected[: last - first + 1]
    times = [message.log_time_ns for message in open_bag(entry.path).messages()]
    ran_ns = times[-1] - times[0]
    assert abs(ran_ns - CONTROL_GRID.stamp(last - first)) < NS_PER_S


def test_streams_that_jump_back_with_their_clock_stay_in_order(tmp_path):
    """Without simulated time the publishers' stamps jump too."""
    robot = Robot(tmp_path, is_lock_step=False)
    robot.enter(EpisodeState.RUNNING)
    robot.step(LENGTH)
    robot.tick -= 5 * LENGTH
    robot.system_ns -= HOUR_NS
    robot.step(LENGTH)
    robot.enter(EpisodeState.SUCCEEDED)
    robot.step(3)
    (status,) = robot.told
    found = open_bag(Path(status.path)).messages(["/joint_states"])
    sent = robot.sent["joint_states"][: 2 * LENGTH + 1]
    assert [bytes(message.data) for message in found] == sent


def test_everything_goes_into_one_bag(tmp_path):
    robot = Robot(tmp_path, split=Split(max_bytes=20_000, max_ns=1 << 60))
    robot.latch()
    robot.step(5)
    robot.run("demo-0000", 40)
    robot.step(7)
    robot.run("demo-0001", 40)
    assert [(s.episode, s.state, s.missing) for s in robot.told] == [
        ("demo-0000", "saved", 0),
        ("demo-0001", "saved", 0),
    ]
    robot.recorder.abort()
    (entry,) = robot.store.episodes()
    assert (entry.facts.id, entry.facts.phase) == ("continuous-0000", "continuous")
    assert entry.outcome is None
    assert robot.store.verify()[0].problems == ()
    files = sorted(entry.path.glob("*.mcap"))
    assert len(files) > 2
    for file in files[1:]:
        counts = open_bag(file).counts()
        assert all(counts[f"/{topic.name}"] for topic in LATCHED)
    found = [bytes(message.data) for message in open_bag(entry.path).messages(["/joint_states"])]
    assert found == robot.sent["joint_states"]
    published = published_from_text(entry.custom_data, "x")
    assert {name: len(sent) for name, sent in robot.sent.items()} == published
    episodes = read_episodes(entry.path)
    assert [e.facts.id for e in episodes] == ["demo-0000", "demo-0001"]
    assert [e.outcome for e in episodes] == [Outcome.SUCCESS] * 2
    assert all(len(episode) == LENGTH for episode in episodes)  # 40 control ticks each
    robot.store.close()
    again = Robot(tmp_path, split=FAR)
    again.recorder.abort()
    assert [e.facts.id for e in again.store.episodes()] == ["continuous-0000", "continuous-0001"]


def test_a_full_disk_ends_a_bag_of_everything_and_another_one_begins(tmp_path, full_disk):
    robot = Robot(tmp_path, split=FAR)
    robot.latch()
    robot.run("demo-0000")
    robot.enter(EpisodeState.RUNNING, "demo-0001")
    full_disk["is_full"] = True
    robot.step(LENGTH)
    robot.enter(EpisodeState.SUCCEEDED, "demo-0001")
    robot.step(3)
    full_disk["is_full"] = False
    robot.run("demo-0002")
    assert [s.state for s in robot.told] == ["saved", "lost", "saved"]
    assert "no space left" in robot.told[1].reason
    robot.recorder.abort()
    entries = robot.store.episodes()
    assert [e.outcome for e in entries] == [Outcome.INCOMPLETE, None]
    first, second = (read_episodes(entry.path) for entry in entries)
    assert first[0].facts.id == "demo-0000"
    assert [e.facts.id for e in second] == ["demo-0002"]
    counts = open_bag(entries[1].path).counts()
    assert all(counts[f"/{topic.name}"] for topic in LATCHED)


def test_a_bag_of_everything_is_refused_where_space_is_short(tmp_path):
    with pytest.raises(StoreError, match="GB free"):
        Robot(tmp_path, split=FAR, free=lambda _: 10)


def test_losses_of_a_bag_of_everything_are_counted(tmp_path):
    robot = Robot(tmp_path, split=FAR)
    robot.step(2, lost_before=1)
    robot.enter(EpisodeState.RUNNING)
    robot.step(LENGTH)
    robot.step(1, lost_before=4)
    robot.enter(EpisodeState.SUCCEEDED)
    robot.step(3)
    assert [s.missing for s in robot.told] == [4]
    robot.recorder.abort()
    (checked,) = robot.store.verify()
    assert any("joint_states: 26 of 32 messages" in problem for problem in checked.problems)
