"""A reset is seen by its jump of time, and is done for whoever asked before it."""

import pytest

from motion_node.scene import SceneResets
from so101.clock import CONTROL_GRID, nanoseconds


@pytest.fixture
def scene():
    scene = SceneResets()
    for tick in range(60):
        scene.on_stamp(CONTROL_GRID.stamp(tick))
    return scene


def test_running_time_resets_nothing(scene):
    assert not scene.is_done(0)


def test_a_reset_is_done_for_whoever_asked_before_it_and_for_nobody_after(scene):
    asked_ns, reset_ns = CONTROL_GRID.stamp(59), nanoseconds(10.0)
    assert not scene.is_done(asked_ns)
    scene.on_stamp(reset_ns)
    assert scene.is_done(asked_ns)
    scene.on_stamp(reset_ns + nanoseconds(0.02))
    assert not scene.is_done(reset_ns + nanoseconds(0.02))
