"""A camera that comes, goes and lies; pauses between tries; capture times."""

import pytest
from camera_scenes import WANTED, Clock, ScriptedSource
from hypothesis import given
from hypothesis import strategies as st

from camera_node.backoff import Backoff
from camera_node.camera import Camera
from camera_node.watchdog import CameraState, WatchdogConfig
from so101.errors import ConfigError


class Desk:
    """A camera, its clock and its log."""

    def __init__(self):
        self.clock = Clock()
        self.source = ScriptedSource(self.clock)
        self.log = []
        config = WatchdogConfig(wanted=WANTED)
        self.camera = Camera(self.source, config, self.clock, self.log.append)

    def run(self, duration_s):
        """Return the good frames of some time, thirty steps a second."""
        found = []
        for _ in range(round(duration_s * 30)):
            self.clock.pass_s(1 / 30)
            if (good := self.camera.step(0.0)) is not None:
                found.append(good)
        return found


@pytest.fixture
def desk():
    return Desk()


def test_a_good_camera_delivers_everything(desk):
    assert len(desk.run(2.0)) == 60
    assert desk.camera.report().state is CameraState.LIVE
    assert desk.log == ["opened scripted camera"]


@pytest.mark.parametrize("mood", ["frozen", "cut", "small", "silent", "unplugged"])
def test_a_bad_camera_is_silent_said_and_opened_again_until_it_is_good(desk, mood):
    desk.run(1.0)
    desk.source.mood = mood
    assert desk.run(0.3) == []
    assert desk.camera.report().state not in (CameraState.LIVE, CameraState.STARTING)
    assert desk.run(12.0) == []
    desk.source.mood = "live"
    assert desk.run(5.0)
    assert desk.camera.report().state is CameraState.LIVE
    assert desk.source.opened >= 2
    assert desk.camera.report().counts["opened"] == desk.source.opened


def test_an_absent_camera_is_awaited_and_complained_of_once(desk):
    desk.source.mood = "unplugged"
    assert desk.run(20.0) == [] and desk.source.opened == 0
    assert desk.log == ["wrist cam: not plugged in; there is no camera at all"]
    assert desk.camera.report().reason == desk.log[0]
    desk.source.mood = "live"
    assert len(desk.run(6.0)) >= 30


@pytest.mark.case(30)
def test_a_camera_that_gives_something_else_is_for_a_person(desk):
    desk.source.mood = "another"
    with pytest.raises(ConfigError):
        desk.camera.step(0.0)


@given(st.integers(1, 12))
def test_pauses_double_up_to_their_bound_and_begin_anew(failures):
    backoff, now_ns = Backoff(first_s=0.25, longest_s=4.0), 0
    for number in range(failures):
        assert backoff.is_due(now_ns)
        backoff.failed(now_ns)
        pause_ns = min(250_000_000 * 2**number, 4_000_000_000)
        assert not backoff.is_due(now_ns + pause_ns - 1)
        now_ns += pause_ns
    backoff.worked()
    assert backoff.is_due(0)
    backoff.failed(0)
    assert backoff.is_due(250_000_000) and not backoff.is_due(249_999_999)
