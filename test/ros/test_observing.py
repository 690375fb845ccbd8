"""Frames come out of their messages as they went in, and what is no frame is refused."""

from array import array

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

from so101.clock import NS_PER_S
from so101.errors import BagError
from so101.images import encode_jpeg, encode_png
from so101.ros import observing
from so101.ros.convert import from_image, to_image
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner, wait_for_matched
from so101.ros.timing import graph_clock
from so101.streams import ObservationConfig
from so101.topics import image_topic

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
JPEG = encode_jpeg(PIXELS)
FRONT = image_topic("front")


def sent(message):
    return bytes(serialize_message(message))


def observed(make_node, messages):
    """Return what a node feeds that observes some messages."""
    node, fed = make_node("observer"), []
    endpoints, spinner = Endpoints(node), Spinner(node)

    def feed(topic, value, stamp_ns, arrival_ns):
        fed.append((topic, value, stamp_ns))

    observing.observe(endpoints, ObservationConfig(cameras=("front",)), feed)
    endpoints.offer(FRONT)
    wait_for_matched(spinner, [endpoints._publishers[FRONT.name]])
    for message in messages:
        endpoints.publish(FRONT, message)
    assert spinner.spin_until(lambda: bool(fed), 5.0)
    spinner.close()
    return fed


@pytest.mark.parametrize("length", range(len(JPEG) - 4, len(JPEG) + 1))
def test_a_frame_is_read_as_its_message_says(length):
    message = to_image(1_500_000_007, "front", JPEG[:length])
    assert observing._read_image(sent(message)) == from_image(message)
    assert from_image(message) == (1_500_000_007, JPEG[:length])


@pytest.mark.parametrize("length", range(len(JPEG) - 4, len(JPEG) + 1))
def test_a_frame_from_the_wire_needs_no_message(make_node, monkeypatch, length):
    def never(*_):
        raise AssertionError("a message was made")

    monkeypatch.setattr(observing, "read_message", never)
    fed = observed(make_node, [to_image(7, "front", JPEG[:length])])
    assert fed == [(FRONT.name, JPEG[:length], 7)]


def test_a_frame_that_is_no_jpeg_is_refused():
    message = CompressedImage(format="png", data=array("B", encode_png(PIXELS)))
    with pytest.raises(BagError, match="'png' is not jpeg"):
        observing._read_image(sent(message))


def test_frames_are_fed_with_their_stamps_and_others_stop_nobody(make_node):
    other = CompressedImage(format="png", data=array("B", encode_png(PIXELS)))
    fed = observed(make_node, [other, to_image(11, "front", JPEG)])
    assert fed == [(FRONT.name, JPEG, 11)]


@pytest.mark.case(41)
def test_a_frame_of_the_future_is_refused_and_told_of(make_node):
    """It would be looked at when that time has come, as if it were new."""
    node, fed = make_node("observer"), []
    endpoints, spinner = Endpoints(node), Spinner(node)
    config = ObservationConfig(cameras=("front",))
    observing.observe(endpoints, config, lambda topic, value, stamp_ns, _: fed.append(stamp_ns))
    endpoints.offer(FRONT)
    wait_for_matched(spinner, [endpoints._publishers[FRONT.name]])
    now_ns = graph_clock().now_ns()
    for stamp_ns in (now_ns + 3600 * NS_PER_S, now_ns):
        endpoints.publish(FRONT, to_image(stamp_ns, "front", JPEG))
    assert spinner.spin_until(lambda: bool(fed), 5.0)
    spinner.close()
    assert fed == [now_ns]
    problem = endpoints.take_problem()
    assert problem.startswith(f"{FRONT.name}: refused: stamped 3") and "ahead" in problem
    assert endpoints.take_problem() == ""
