"""Timers of a node go by steady time, or by /clock where the node is told to."""

import pytest

pytest.importorskip("rclpy")

from rclpy.clock_type import ClockType
from rclpy.parameter import Parameter

from so101.ros.timing import graph_clock, now_ns, repeat


@pytest.mark.parametrize(
    ("is_told", "kind"), [(False, ClockType.STEADY_TIME), (True, ClockType.ROS_TIME)]
)
def test_a_timer_never_goes_by_the_date(make_node, is_told, kind):
    told = [Parameter("use_sim_time", value=is_told)]
    node = make_node("ticking", parameter_overrides=told)
    repeat(node, 1.0, lambda: None)
    (timer,) = node.timers
    assert timer.clock.clock_type == kind
    assert (now_ns(node) == 0) == is_told  # simulated time has not begun


def test_a_process_has_one_clock():
    assert graph_clock() is graph_clock()
