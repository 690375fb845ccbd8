"""One bag per episode: nothing before its first tick, nothing after its last, no silent loss."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recorder_node.episode_recorder import EpisodeRecorder
from recorder_node.losses import SequenceCounter
from recorder_node.raw_message import header_stamp_ns
from recorder_node.recorder_setup import CLOSE_WITHIN_NS, RecorderSetup
from so101.clock import CONTROL_GRID
from so101.data.bags import messages
from so101.data.bags.bag import open_bag
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import EpisodeFacts, EpisodeState, Outcome
from so101.errors import StoreError
from so101.events import EpisodeEvent
from so101.topics import (
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    TASK,
    TELEOP_ALIVE,
    TELEOP_TRAJECTORY,
    Topic,
)

TOPICS = (JOINT_STATES, JOINT_COMMANDS, TASK, EPISODE, TELEOP_TRAJECTORY, TELEOP_ALIVE)
START, END = CONTROL_GRID.stamp(20), CONTROL_GRID.stamp(40)


class SteadyClock:
    now_ns = 0

    def __call__(self):
        return self.now_ns


def header(stamp_ns):
    stamp = messages.create(
        "builtin_interfaces/msg/Time",
        sec=stamp_ns // 1_000_000_000,
        nanosec=stamp_ns % 1_000_000_000,
    )
    return messages.create("std_msgs/msg/Header", stamp=stamp, frame_id="")


def joint_state(stamp_ns):
    none = np.zeros(0)
    message = messages.create(
        "sensor_msgs/msg/JointState",
        header=header(stamp_ns),
        name=["a"],
        position=np.array([1.0]),
        velocity=none,
        effort=none,
    )
    return messages.encode(message)


def alive(stamp_ns):
    return messages.encode(header(stamp_ns))


def trajectory(stamp_ns):
    message = messages.create(
        "trajectory_msgs/msg/JointTrajectory",
        header=header(stamp_ns),
        joint_names=["a"],
        points=[],
    )
    return messages.encode(message)


def text(value):
    return messages.encode(messages.create("std_msgs/msg/String", data=value))


def event(state, stamp_ns, name="demo-0000"):
    return EpisodeEvent(stamp_ns=stamp_ns, state=state, facts=EpisodeFacts(id=name))


@pytest.fixture
def clock():
    return SteadyClock()


@pytest.fixture
def recorder(tmp_path, clock):
    store = EpisodeStore(tmp_path / "episodes", min_free_bytes=0)
    store.root.mkdir()
    setup = RecorderSetup(topics=TOPICS, paced=(JOINT_STATES.name, JOINT_COMMANDS.name))
    return EpisodeRecorder(store, setup, wall_time=lambda: "20260101-120000", steady_ns=clock)


def feed(recorder, first, last, topics=(JOINT_STATES, JOINT_COMMANDS)):
    for tick in range(first, last):
        for topic in topics:
            recorder.on_message(topic, joint_state(CONTROL_GRID.stamp(tick)), tick)


def stamps(path, topic: Topic):
    found = open_bag(path).messages([f"/{topic.name}"])
    return [header_stamp_ns(topic, bytes(message.data)) for message in found]


def test_a_bag_holds_exactly_the_ticks_of_its_episode(recorder):
    recorder.on_message(TASK, text("pick"), 0)
    feed(recorder, 0, 22)  # the first ticks come before anybody says that it runs
    assert recorder.on_episode(event(EpisodeState.RUNNING, START)) is None
    feed(recorder, 22, 35)
    recorder.on_episode(event(EpisodeState.SUCCEEDED, END))
    assert recorder.poll() is None  # its last ticks are still on the way
    feed(recorder, 35, 44)
    status = recorder.poll()
    assert (status.state, status.outcome, status.missing) == ("saved", "success", 0)
    expected = [CONTROL_GRID.stamp(tick) for tick in range(20, 41)]
    assert stamps(Path(status.path), JOINT_STATES) == expected
    assert stamps(Path(status.path), JOINT_COMMANDS) == expected
    assert status.messages == 2 * len(expected) + 1  # and the latched task, repeated in every bag
    times = [message.log_time_ns for message in open_bag(Path(status.path)).messages()]
    assert (min(times), max(times)) == (START, END)  # so the bag is as long as its episode


def test_a_silent_stream_delays_the_end_but_does_not_prevent_it(recorder, clock):
    recorder.on_episode(event(EpisodeState.RUNNING, START))
    feed(recorder, 20, 41, topics=(JOINT_STATES,))
    recorder.on_episode(event(EpisodeState.TRUNCATED, END))
    assert recorder.poll() is None
    clock.now_ns = CLOSE_WITHIN_NS
    status = recorder.poll()
    assert status.outcome == Outcome.TRUNCATED.value
    assert JOINT_COMMANDS.name in status.reason


def test_an_episode_ends_with_the_last_word_of_who_acted(recorder):
    """What it planned last may come after the last tick, as its sender was held up."""
    facts = EpisodeFacts(id="demo-0000", source="teleop")
    begin = EpisodeEvent(stamp_ns=START, state=EpisodeState.RUNNING, facts=facts)
    recorder.on_episode(begin)
    feed(recorder, 20, 41)
    recorder.on_episode(replace(begin, stamp_ns=END, state=EpisodeState.SUCCEEDED))
    assert recorder.poll() is None
    recorder.on_message(TELEOP_TRAJECTORY, trajectory(CONTROL_GRID.stamp(38)), 0)
    recorder.on_message(TELEOP_ALIVE, alive(CONTROL_GRID.stamp(39)), 0)
    assert recorder.poll() is None
    recorder.on_message(TELEOP_ALIVE, alive(END), 0)
    status = recorder.poll()
    assert (status.state, status.reason) == ("saved", "")
    path = Path(status.path)
    assert stamps(path, TELEOP_TRAJECTORY) == [CONTROL_GRID.stamp(38)]
    assert stamps(path, TELEOP_ALIVE) == [CONTROL_GRID.stamp(39), END]


def test_an_episode_that_cannot_be_written_is_announced_as_lost(recorder, tmp_path):
    (tmp_path / "episodes" / "20260101-120000-demo-0000").mkdir()
    (tmp_path / "episodes" / "20260101-120000-demo-0000" / "x.mcap").touch()
    lost = recorder.on_episode(event(EpisodeState.RUNNING, START))
    assert lost.state == "lost"
    assert "demo-0000" in lost.reason
    assert not recorder.is_recording


def test_an_episode_that_the_disk_refuses_is_lost_for_that_reason(recorder, monkeypatch):
    def refuse(*message):
        raise StoreError("no space left on device")

    recorder.on_episode(event(EpisodeState.RUNNING, START))
    monkeypatch.setattr(recorder._recording, "write", refuse)
    feed(recorder, 20, 42)
    recorder.on_episode(event(EpisodeState.SUCCEEDED, END))
    status = recorder.poll()
    assert status.state == "lost"
    assert "no space left on device" in status.reason
    assert not recorder.is_recording


def test_a_killed_recorder_leaves_an_episode_that_recovery_marks_incomplete(recorder, tmp_path):
    recorder.on_episode(event(EpisodeState.RUNNING, START))
    feed(recorder, 20, 30)
    recorder.abort()
    store = EpisodeStore(tmp_path / "episodes", min_free_bytes=0)
    with pytest.raises(StoreError):
        store.recover()  # the first one still holds the store
    recorder._store.close()
    store.recover()
    (entry,) = store.episodes()
    assert entry.outcome is Outcome.INCOMPLETE
    assert len(stamps(entry.path, JOINT_STATES)) == 10


def test_gaps_in_sequence_numbers_are_counted_per_publisher():
    counter = SequenceCounter()
    assert [counter.gap("joint_states", b"a", n) for n in (5, 6, 9)] == [0, 0, 2]
    assert [counter.gap("joint_states", b"b", n) for n in (1, 2, 3)] == [0, 0, 0]
    assert counter.gap("reward", b"a", 30) == 0  # each topic has numbers of its own
    assert counter.gap("joint_states", b"a", 10) == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_header_stamp_is_read_in_both_byte_orders(order):
    data = bytes([0, int(order == "<"), 0, 0]) + struct.pack(order + "iI", 3, 7) + bytes(8)
    assert header_stamp_ns(JOINT_STATES, data) == 3_000_000_007
    assert header_stamp_ns(TASK, data) is None
