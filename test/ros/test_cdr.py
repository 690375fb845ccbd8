"""Serialized messages are read as others write them; no bytes whatever do more than be refused."""

import ast
import random
from array import array
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from hypothesis import given
from hypothesis import strategies as st
from malformed import DEADLY, malformed
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState, Joy
from std_msgs.msg import Header, String

from so101.arm import ArmState
from so101.control.trajectory import JointTrajectory
from so101.data.bags.messages import typestore
from so101.errors import BagError
from so101.events import Event
from so101.robot import JOINTS
from so101.ros import convert
from so101.ros.cdr import read_message
from so101.topics import TOPICS, camera_info_topic, image_topic, raw_image_topic

ROOT = Path(__file__).parents[2]
ROW = np.linspace(-1.0, 1.0, 6)
MESSAGES = {
    type(message).__name__: message
    for message in (
        convert.to_joint_state(7, ArmState(positions=ROW, velocities=ROW, effort=ROW)),
        convert.to_event(Event(stamp_ns=7, name="ä", message="b", values={"c": "1", "dd": ""})),
        convert.to_header(7, "frame"),
        convert.to_text("put the red cube into the bin"),
        convert.to_image(7, "front", b"\xff\xd8123"),
        convert.to_poses(7, np.arange(14.0).reshape(2, 7)),
        convert.to_camera_info(7, "front", (480, 640), 500.0),
        convert.to_clock(7),
        convert.to_number(0.5),
        convert.to_joint_trajectory(
            JointTrajectory(
                stamp_ns=7,
                joints=JOINTS,
                times_ns=(1, 2),
                positions=np.stack([ROW, -ROW]),
                velocities=np.stack([ROW, ROW]),
                source="policy",
            )
        ),
        Joy(axes=array("f", [0.5]), buttons=array("i", [1, 0, -1])),
        Image(height=1, width=3, encoding="mono8", step=3, data=array("B", b"123")),
    )
}


def plain(value):
    """Return a value as dicts, lists and numbers."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if hasattr(value, "__dict__"):
        return {name: plain(each) for name, each in vars(value).items()}
    if isinstance(value, bytes) and len(value) == 1:  # rclpy's octet
        return value[0]
    if isinstance(value, list | array | np.ndarray):
        return [plain(each) for each in value]
    return value


def test_there_is_a_message_of_every_type_that_is_listened_to():
    tables = (*TOPICS, image_topic("a"), raw_image_topic("a"), camera_info_topic("a"))
    assert {topic.type.split("/")[-1] for topic in tables} - {"MarkerArray"} == set(MESSAGES)


@pytest.mark.parametrize("name", MESSAGES)
def test_what_the_middleware_writes_is_read_as_it_was(name):
    message = MESSAGES[name]
    assert plain(read_message(bytes(serialize_message(message)), type(message))) == plain(message)


def of_another_writer(message, is_little=True):
    """Return a message's bytes as rosbags writes them, with nothing behind their end."""
    known = to_rosbags(message)
    return bytes(typestore().serialize_cdr(known, known.__msgtype__, little_endian=is_little))


def to_rosbags(value):
    if hasattr(value, "get_fields_and_field_types"):
        kind = type(value)
        made = typestore().types[f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"]
        names = kind.get_fields_and_field_types()
        return made(**{name: to_rosbags(getattr(value, name)) for name in names})
    if isinstance(value, list):
        return [to_rosbags(each) for each in value]
    if isinstance(value, bytes):
        return value[0]
    return np.array(value) if isinstance(value, array) else value


@pytest.mark.parametrize("is_little", [True, False])
@pytest.mark.parametrize("name", ["JointState", "DiagnosticArray", "Joy"])
def test_both_orders_of_bytes_are_read_as_another_writer_has_them(name, is_little):
    data = of_another_writer(MESSAGES[name], is_little)
    assert plain(read_message(data, type(MESSAGES[name]))) == plain(MESSAGES[name])


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_cut_short_is_refused(name):
    message = MESSAGES[name]
    data = of_another_writer(message)
    assert is_read(data, type(message))
    assert not any(is_read(data[:size], type(message)) for size in range(len(data)))


def is_read(data, kind):
    try:
        read_message(data, kind)
    except BagError:
        return False
    return True


@pytest.mark.parametrize("name", MESSAGES)
def test_no_change_of_a_message_does_more_than_be_refused(name):
    message, rng = MESSAGES[name], random.Random(0)
    good = bytes(serialize_message(message))
    assert 0 < sum(is_read(malformed(good, rng), type(message)) for _ in range(500)) < 500


@given(st.binary(max_size=80), st.sampled_from(sorted(MESSAGES)))
def test_no_bytes_do_more_than_be_refused(data, name):
    is_read(b"\x00\x01\x00\x00" + data, type(MESSAGES[name]))
    is_read(data, type(MESSAGES[name]))


@pytest.mark.parametrize(
    ("data", "kind", "why"),
    [
        (DEADLY[1], Header, "fewer than it needs"),
        (DEADLY[0], String, "4043309055 elements"),
        (b"", String, "no plain CDR"),
        (b"\x00\x07\x00\x00\x01\x00\x00\x00\x00", String, "encapsulation 0007"),
        (b"\x00\x01\x00\x00\x02\x00\x00\x00ab", String, "without its end"),
        (b"\x00\x01\x00\x00\x03\x00\x00\x00a\x00\x00", String, "with an end inside"),
        (b"\x00\x01\x00\x00\x02\x00\x00\x00\xff\x00", String, "no UTF-8"),
        (b"\x00\x01\x00\x00" + bytes(20) + b"\x09\0\0\0" + bytes(12), JointState, "needed"),
    ],
)
def test_what_is_refused_says_why(data, kind, why):
    with pytest.raises(BagError, match=why):
        read_message(data, kind)


def test_a_text_without_even_an_end_is_empty():
    assert read_message(b"\x00\x01\x00\x00\x00\x00\x00\x00", String).data == ""


def test_nothing_of_ours_comes_to_the_middlewares_reader():
    """Subscriptions are raw, and nobody calls it."""
    raw = 0
    for path in (*ROOT.glob("so101*/**/*.py"), *ROOT.glob("*_node/*.py")):
        text = path.read_text()
        assert "deserialize_message" not in text, path
        for node in ast.walk(ast.parse(text if "create_subscription(" in text else "")):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                "create_subscription"
            ):
                assert "raw=True" in [ast.unparse(keyword) for keyword in node.keywords], path
                raw += 1
    assert raw == 2  # endpoints and taps
