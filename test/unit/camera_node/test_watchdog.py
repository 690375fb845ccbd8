"""Laws of what passes the watchdog, and of what it says."""

import math
from dataclasses import replace

import pytest
from camera_scenes import PERIOD_NS, WANTED, picture
from hypothesis import given
from hypothesis import strategies as st

from camera_node.source import Frame
from camera_node.telling import status_event
from camera_node.watchdog import REMEMBERED, CameraState, Watchdog, WatchdogConfig
from so101.events import ERROR, OK, WARN, decode
from so101.objections import NO_ARMING, NO_EPISODE

CONFIG = WatchdogConfig(wanted=WANTED)
START_NS = 10**9
PICTURES = [picture(n) for n in range(40)]


def frame(number, stamp_ns, **more):
    return Frame(jpeg=PICTURES[number % len(PICTURES)], captured_ns=stamp_ns, **more)


def live_until(watchdog, frames=60, start_ns=START_NS):
    """Open and deliver good frames; return the time of the last one."""
    watchdog.opened(start_ns)
    for number in range(frames):
        now_ns = start_ns + number * PERIOD_NS
        assert watchdog.judge(frame(number, now_ns), now_ns) is not None
    return now_ns


steps = st.tuples(
    st.sampled_from(["new", "same", "cut", "back", "future", "damaged", "nothing"]),
    st.integers(1, 400_000_000),
)


@given(st.lists(steps, max_size=40))
def test_only_new_whole_pictures_in_order_pass(script):
    watchdog = Watchdog(CONFIG)
    watchdog.opened(START_NS)
    now_ns, number, passed, last_ns = START_NS, 0, [], 0
    for kind, pause_ns in script:
        now_ns += pause_ns
        if kind == "nothing":
            continue
        number += kind == "new"
        one = frame(number, now_ns - 1000)
        if kind == "cut":
            one = replace(one, jpeg=one.jpeg[:-9])
        elif kind == "back":
            one = replace(one, captured_ns=last_ns)
        elif kind == "future":
            one = replace(one, captured_ns=now_ns + 10_000_000)
        elif kind == "damaged":
            one = replace(one, problem="damaged")
        jpeg = watchdog.judge(one, now_ns)
        if kind not in ("new", "same"):
            assert jpeg is None
        if jpeg is not None:
            passed.append((one.captured_ns, jpeg.data))
            last_ns = one.captured_ns
        status = watchdog.report(now_ns)
        assert status.counts["good"] == len(passed)
        assert (status.state is CameraState.LIVE) == (
            bool(passed) and now_ns - (passed[-1][0] + 1000) <= 200_000_000
        )
    stamps = [stamp for stamp, _ in passed]
    assert stamps == sorted(set(stamps))
    for at, (_, jpeg) in enumerate(passed):
        assert jpeg not in [other for _, other in passed[max(0, at - REMEMBERED) : at]]


@pytest.mark.case(28)
def test_a_frozen_picture_with_live_stamps_stops_at_once_and_is_said_within_300_ms():
    watchdog = Watchdog(CONFIG)
    now_ns = froze_ns = live_until(watchdog)
    while watchdog.state(now_ns) is CameraState.LIVE:
        now_ns += PERIOD_NS
        assert watchdog.judge(frame(59, now_ns), now_ns) is None
    assert now_ns - froze_ns <= 300_000_000
    status = watchdog.report(now_ns)
    assert status.state is CameraState.FROZEN and "stands still" in status.reason
    assert status.counts["repeated"] == (now_ns - froze_ns) // PERIOD_NS
    assert watchdog.judge(frame(60, now_ns + PERIOD_NS), now_ns + PERIOD_NS) is not None
    assert watchdog.state(now_ns + PERIOD_NS) is CameraState.LIVE


@pytest.mark.case(28)
def test_a_driver_that_goes_round_its_buffers_is_frozen():
    watchdog = Watchdog(CONFIG)
    now_ns = live_until(watchdog)
    for turn in range(12):
        now_ns += PERIOD_NS
        assert watchdog.judge(frame(56 + turn % REMEMBERED, now_ns), now_ns) is None
    assert watchdog.state(now_ns) is CameraState.FROZEN


def test_a_picture_may_come_back_later():
    """A clean room at night, seen by a good sensor: only what was just seen is no news."""
    watchdog = Watchdog(CONFIG)
    now_ns = live_until(watchdog, frames=REMEMBERED + 1) + PERIOD_NS
    assert watchdog.judge(frame(0, now_ns), now_ns) is not None


@pytest.mark.case(30)
@pytest.mark.parametrize(
    ("spoil", "state"),
    [
        (lambda one: replace(one, jpeg=one.jpeg[:-9]), CameraState.DAMAGED),
        (lambda one: replace(one, jpeg=picture(1, (24, 32))), CameraState.DAMAGED),
        (lambda one: None, CameraState.SILENT),
    ],
)
def test_each_fault_has_its_name_and_ends_with_a_reopening(spoil, state):
    watchdog = Watchdog(CONFIG)
    now_ns = last_ns = live_until(watchdog)
    while not watchdog.must_reopen(now_ns):
        now_ns += PERIOD_NS
        if (one := spoil(frame(60, now_ns))) is not None:
            assert watchdog.judge(one, now_ns) is None
    status = watchdog.report(now_ns)
    assert status.state is state and status.reason
    assert 3.0 < status.age_s == pytest.approx((now_ns - last_ns) * 1e-9)
    watchdog.lost("gone")
    assert not watchdog.must_reopen(now_ns)
    assert watchdog.report(now_ns).reason == "gone"
    watchdog.opened(now_ns)
    assert watchdog.state(now_ns) is CameraState.STARTING
    assert not watchdog.must_reopen(now_ns)
    assert watchdog.state(now_ns + 10**9) is CameraState.SILENT


@pytest.mark.parametrize("rate_hz", [10, 20, 23, 25, 30])
def test_a_camera_below_four_fifths_of_its_rate_is_slow(rate_hz):
    watchdog = Watchdog(CONFIG)
    watchdog.opened(START_NS)
    for number in range(3 * rate_hz):
        now_ns = START_NS + number * 10**9 // rate_hz
        watchdog.judge(frame(number, now_ns), now_ns)
    status = watchdog.report(now_ns)
    assert status.rate_hz == pytest.approx(rate_hz, abs=1)
    assert status.is_slow == (rate_hz < 24)


def test_a_camera_is_not_slow_before_it_has_run_for_a_second():
    watchdog = Watchdog(CONFIG)
    watchdog.opened(START_NS)
    watchdog.judge(frame(0, START_NS), START_NS)
    assert not watchdog.report(START_NS).is_slow


def told(watchdog, now_ns, suspicion="", **options):
    options = {"is_refused": False, **options}
    return status_event("wrist_camera", watchdog.report(now_ns), suspicion, now_ns, **options)


def test_what_is_told_has_the_level_of_the_worst():
    watchdog = Watchdog(CONFIG)
    event = told(watchdog, START_NS)
    assert event.level == ERROR and event.name == "wrist_camera: camera"
    assert math.isnan(decode(event, "age [s]", float))
    watchdog.opened(START_NS)
    assert told(watchdog, START_NS).level == WARN
    now_ns = live_until(watchdog)
    event = told(watchdog, now_ns)
    assert (event.level, event.message) == (OK, "live")
    assert decode(event, "good", int) == 60 and decode(event, "rate [Hz]", float) == 30.0
    assert told(watchdog, now_ns, "another one").level == WARN
    refused = told(watchdog, now_ns, "another one", is_refused=True)
    assert refused.level == ERROR and "nothing is published" in refused.message
    assert told(watchdog, now_ns + 10**9).level == ERROR


SWAPPED = "sees what the front camera saw when it was set up"


def test_a_camera_has_something_against_episodes_unless_it_is_live_and_itself():
    watchdog = Watchdog(CONFIG)
    watchdog.lost("/dev/v4l/by-id/wrist: not plugged in")
    absent = told(watchdog, START_NS).values
    assert absent[NO_EPISODE] == "absent: /dev/v4l/by-id/wrist: not plugged in"
    assert absent[NO_ARMING] == ""  # whoever sees the arm himself may move it
    watchdog.opened(START_NS)
    assert told(watchdog, START_NS).values[NO_EPISODE] == "gives no good pictures"
    now_ns = live_until(watchdog)
    assert told(watchdog, now_ns).values[NO_EPISODE] == ""
    swapped = told(watchdog, now_ns, SWAPPED).values
    for key in (NO_EPISODE, NO_ARMING):
        assert SWAPPED in swapped[key] and "swap the two plugs" in swapped[key]


def test_words_against_episodes_stay_the_same_while_the_reason_does():
    watchdog = Watchdog(CONFIG)
    now_ns = live_until(watchdog)
    later = (told(watchdog, now_ns + k * 10**9) for k in range(1, 4))
    assert {event.values[NO_EPISODE] for event in later} == {"gives no good pictures"}


def test_nobody_arms_before_it_was_looked_at_where_there_is_something_to_compare():
    watchdog = Watchdog(CONFIG)
    assert told(watchdog, START_NS, is_compared=False).values[NO_ARMING] == ""  # it is not there
    watchdog.opened(START_NS)
    assert "being compared" in told(watchdog, START_NS, is_compared=False).values[NO_ARMING]
    now_ns = live_until(watchdog)
    assert "being compared" in told(watchdog, now_ns, is_compared=False).values[NO_ARMING]
    assert told(watchdog, now_ns, is_compared=True).values[NO_ARMING] == ""
