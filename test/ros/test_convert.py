"""Values survive the way through a message and its serialized bytes."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState

from so101.arm import ArmState
from so101.control.trajectory import JointTrajectory
from so101.data.bags import messages
from so101.errors import BagError, HardwareError, TrajectoryError
from so101.events import Event
from so101.robot import JOINTS
from so101.ros import convert
from so101.ros.aux_tables import to_aux

stamps = st.integers(0, (2**31 - 1) * 10**9 + 999_999_999)
vectors = hnp.arrays(np.float64, len(JOINTS), elements=st.floats(allow_nan=False))
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


def through_wire(message):
    return deserialize_message(serialize_message(message), type(message))


@given(stamps)
def test_stamps(stamp_ns):
    assert convert.from_stamp(convert.to_stamp(stamp_ns)) == stamp_ns
    assert convert.stamp_of(through_wire(convert.to_header(stamp_ns))) == stamp_ns
    assert convert.from_clock(through_wire(convert.to_clock(stamp_ns))) == stamp_ns


@given(words, st.floats(allow_nan=False))
def test_texts_and_numbers(text, number):
    assert convert.from_text(through_wire(convert.to_text(text))) == text
    assert convert.from_number(through_wire(convert.to_number(number))) == number


@given(stamps, vectors, vectors, vectors)
def test_joint_states(stamp_ns, positions, velocities, effort):
    state = ArmState(positions=positions, velocities=velocities, effort=effort)
    message = through_wire(convert.to_joint_state(stamp_ns, state))
    read_ns, read = convert.from_joint_state(message)
    assert read_ns == stamp_ns
    assert convert.stamp_of(message) == stamp_ns
    for field in fields(ArmState):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(state, field.name))


@given(stamps, vectors, st.permutations([*JOINTS, "extra"]))
def test_joint_order_is_by_name(stamp_ns, positions, names):
    values = dict(zip(JOINTS, positions, strict=True), extra=7.0)
    message = JointState(name=names, position=[values[name] for name in names])
    message.header.stamp = convert.to_stamp(stamp_ns)
    read_ns, read = convert.from_joint_command(message)
    assert read_ns == stamp_ns
    np.testing.assert_array_equal(read, positions)


@pytest.mark.case(42)
@pytest.mark.parametrize(
    "message",
    [
        JointState(name=list(JOINTS[:-1]), position=[0.0] * 5),
        JointState(name=list(JOINTS), position=[0.0] * 5),
        JointState(name=list(JOINTS)),
        JointState(),
        JointState(name=[f"other_{name}" for name in JOINTS], position=[0.0] * 6),  # another robot
    ],
)
def test_incomplete_joint_states_are_refused(message):
    with pytest.raises(HardwareError):
        convert.from_joint_state(message)


def test_unreported_velocities_are_nan_not_zero():
    _, state = convert.from_joint_state(JointState(name=list(JOINTS), position=[0.0] * 6))
    assert np.isnan(state.velocities).all() and np.isnan(state.effort).all()


@given(stamps, st.integers(0, 5), st.integers(0, 3), st.booleans(), st.data())
def test_joint_trajectories(stamp_ns, points, joints, with_velocities, data):
    table = hnp.arrays(np.float64, (points, joints))  # NaN too: it is refused elsewhere
    velocities = data.draw(table) if with_velocities and points and joints else None
    trajectory = JointTrajectory(
        stamp_ns=stamp_ns,
        joints=tuple(f"joint_{i}" for i in range(joints)),
        times_ns=tuple(data.draw(st.lists(stamps, min_size=points, max_size=points))),
        positions=data.draw(table),
        velocities=velocities,
        source=data.draw(words),
    )
    read = convert.from_joint_trajectory(through_wire(convert.to_joint_trajectory(trajectory)))
    assert (read.stamp_ns, read.joints, read.times_ns, read.source) == (
        trajectory.stamp_ns,
        trajectory.joints,
        trajectory.times_ns,
        trajectory.source,
    )
    np.testing.assert_array_equal(read.positions, trajectory.positions)
    if velocities is None:
        assert read.velocities is None
    else:
        np.testing.assert_array_equal(read.velocities, velocities)


def test_a_ragged_trajectory_is_refused():
    trajectory = JointTrajectory(
        stamp_ns=0, joints=("a", "b"), times_ns=(1, 2), positions=np.zeros((2, 2))
    )
    message = convert.to_joint_trajectory(trajectory)
    message.points[1].positions = [0.0]
    with pytest.raises(TrajectoryError, match="point 1: 1 positions for 2 joints"):
        convert.from_joint_trajectory(message)
    message = convert.to_joint_trajectory(trajectory)
    message.points[1].velocities = [0.0, 0.0]
    with pytest.raises(TrajectoryError, match="point 0: 0 velocities"):
        convert.from_joint_trajectory(message)


@given(stamps, words, words, st.dictionaries(words, words), st.integers(0, 2))
def test_events(stamp_ns, name, text, values, level):
    event = Event(stamp_ns=stamp_ns, name=name, message=text, values=values, level=level)
    assert convert.from_event(through_wire(convert.to_event(event))) == event


@given(stamps, st.binary(max_size=64))
def test_images(stamp_ns, jpeg):
    message = through_wire(convert.to_image(stamp_ns, "wrist", jpeg))
    assert convert.from_image(message) == (stamp_ns, jpeg)
    assert message.header.frame_id == "wrist_camera_optical_frame"


def test_an_image_that_is_no_jpeg_is_refused():
    message = convert.to_image(0, "wrist", b"")
    message.format = "png"
    with pytest.raises(BagError, match="png"):
        convert.from_image(message)


@given(stamps, hnp.arrays(np.float64, st.tuples(st.integers(0, 3), st.just(7))))
def test_object_poses(stamp_ns, poses):
    read_ns, read = convert.from_poses(through_wire(convert.to_poses(stamp_ns, poses)))
    assert read_ns == stamp_ns
    np.testing.assert_array_equal(read, poses)


shapes = st.one_of(st.tuples(st.integers(1, 4)), st.tuples(st.integers(1, 4), st.integers(1, 4)))


@given(stamps, hnp.arrays(np.float32, shapes))
def test_auxiliary_tables(stamp_ns, values):
    message = through_wire(to_aux(stamp_ns, values))
    assert messages.stamp_ns(message) == stamp_ns
    read = messages.aux_table(message)
    np.testing.assert_array_equal(read, np.atleast_2d(values))
    assert read.dtype == np.float32


def test_an_auxiliary_table_of_another_kind_is_refused():
    message = to_aux(0, np.zeros((2, 3), np.float32))
    message.encoding = "rgb8"
    with pytest.raises(BagError, match="rgb8"):
        messages.aux_table(message)
    message.encoding, message.height = "32FC1", 3
    with pytest.raises(BagError, match="24 bytes is no 32FC1 table of 3 rows and 3 columns"):
        messages.aux_table(message)


def test_camera_info_puts_the_optical_axis_in_the_middle():
    info = convert.to_camera_info(5, "front", (240, 320), 300.0)
    matrix = np.reshape(info.k, (3, 3))
    np.testing.assert_array_equal(matrix @ [0, 0, 1], [159.5, 119.5, 1])
    assert (info.height, info.width, convert.stamp_of(info)) == (240, 320, 5)
