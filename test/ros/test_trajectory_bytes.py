"""The short way to the wire and back says what the message says, whatever the shape."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message, serialize_message
from trajectory_msgs.msg import JointTrajectory as TrajectoryMessage

from so101.control.trajectory import JointTrajectory
from so101.data.bags.messages import decode
from so101.errors import TrajectoryError
from so101.robot import JOINTS
from so101.ros import trajectory_bytes
from so101.ros.cdr import read_message
from so101.ros.convert import from_joint_trajectory, to_joint_trajectory
from so101.ros.trajectory_bytes import trajectory_from_bytes, trajectory_to_bytes

stamps = st.integers(0, (2**31 - 1) * 10**9 + 999_999_999)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@st.composite
def trajectories(draw):
    points, joints = draw(st.integers(0, 5)), draw(st.integers(0, 4))
    table = hnp.arrays(np.float64, (points, joints))  # NaN too: it is refused elsewhere
    has_velocities = draw(st.booleans()) and points and joints
    return JointTrajectory(
        stamp_ns=draw(stamps),
        joints=tuple(draw(st.lists(words, min_size=joints, max_size=joints))),
        times_ns=tuple(draw(st.lists(stamps, min_size=points, max_size=points))),
        positions=draw(table),
        velocities=draw(table) if has_velocities else None,
        source=draw(words),
    )


def assert_same(one, other):
    for name in ("stamp_ns", "joints", "times_ns", "source"):
        assert getattr(one, name) == getattr(other, name)
    np.testing.assert_array_equal(one.positions, other.positions)
    assert one.positions.shape == other.positions.shape
    assert (one.velocities is None) == (other.velocities is None)
    if one.velocities is not None:
        np.testing.assert_array_equal(one.velocities, other.velocities)


@given(trajectories())
def test_both_ways_are_inverse(trajectory):
    assert_same(trajectory_from_bytes(trajectory_to_bytes(trajectory)), trajectory)


@given(trajectories())
def test_others_read_what_is_written_and_what_others_write_is_read(trajectory):
    message = deserialize_message(trajectory_to_bytes(trajectory), TrajectoryMessage)
    assert_same(from_joint_trajectory(message), trajectory)
    others = bytes(serialize_message(to_joint_trajectory(trajectory)))
    assert_same(trajectory_from_bytes(others), trajectory)


@given(trajectories())
def test_a_reader_of_bags_finds_nothing_behind_the_end(trajectory):
    """Whoever refuses messages with bytes left over reads it, with or without velocities."""
    if len(trajectory.times_ns) and len(trajectory.joints):
        data = trajectory_to_bytes(trajectory)
        message = decode(data, "trajectory_msgs/msg/JointTrajectory", "here")
        read = [point.positions for point in message.points]
        np.testing.assert_array_equal(read, trajectory.positions)


def chunk(points=16):
    return JointTrajectory(
        stamp_ns=1_234_567_890,
        joints=JOINTS,
        times_ns=tuple(33_333_333 * (i + 1) for i in range(points)),
        positions=np.random.default_rng(0).normal(size=(points, len(JOINTS))),
        source="policy",
    )


def test_a_chunk_needs_no_message_on_the_way(monkeypatch):
    def never(*_):
        raise AssertionError("a message was made")

    for name in ("read_message", "serialize_message"):
        monkeypatch.setattr(trajectory_bytes, name, never)
    assert_same(trajectory_from_bytes(trajectory_to_bytes(chunk())), chunk())


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=6))
def test_changed_bytes_are_read_as_the_message_reads_them_or_refused(changes):
    raw = bytearray(trajectory_to_bytes(chunk(3)))
    for at, value in changes:
        raw[at % len(raw)] = value
    try:
        found = trajectory_bytes._read_table(bytes(raw))
    except (ValueError, struct.error):  # the long way has its own word on it
        return
    if found is not None:
        message = read_message(bytes(raw), TrajectoryMessage)
        assert_same(found, from_joint_trajectory(message))


@pytest.mark.parametrize("size", [0, 3, 4, 12, 40, 100])
def test_what_is_cut_short_is_refused(size):
    with pytest.raises(TrajectoryError, match="bytes cannot be read"):
        trajectory_from_bytes(trajectory_to_bytes(chunk())[:size])


def test_a_table_that_is_none_is_refused_before_it_is_sent():
    ragged = JointTrajectory(
        stamp_ns=1, joints=JOINTS, times_ns=(1, 2), positions=np.zeros((1, len(JOINTS)))
    )
    with pytest.raises(TrajectoryError, match="positions"):
        trajectory_to_bytes(ragged)
