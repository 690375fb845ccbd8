"""What is said of images that are lacking or apart, once a second."""

from types import SimpleNamespace

from policy_node.seeing import Seeing
from so101.events import OK, WARN
from so101.topics import image_topic

WRIST, FRONT = (image_topic(camera).name for camera in ("wrist", "front"))


def joined(apart_ms):
    return SimpleNamespace(stamps_ns={WRIST: 10**9, FRONT: 10**9 - apart_ms * 10**6, "task": 0})


def loop(skewed=0, missing=0):
    return SimpleNamespace(
        skewed={"wrist": 0, "front": skewed}, missing={"wrist": missing, "front": 0}
    )


def test_what_was_left_out_since_the_last_report_is_warned_of():
    seeing = Seeing(("wrist", "front"), 0.05)
    assert (seeing.report(loop(), 7).level, seeing.report(loop(), 7).stamp_ns) == (OK, 7)
    report = seeing.report(loop(skewed=3), 8)
    assert report.level == WARN
    assert report.message == "front is more than 50 ms behind: 3 ticks left out"
    report = seeing.report(loop(skewed=3, missing=2), 9)
    assert report.message == "wrist has no image: 2 ticks left out"
    assert (report.values[f"{FRONT}: skewed"], report.values[f"{WRIST}: missing"]) == ("3", "2")
    assert seeing.report(loop(skewed=3, missing=2), 10).level == OK


def test_the_widest_gap_since_the_last_report_is_told():
    seeing = Seeing(("wrist", "front"), 0.05)
    for apart_ms in (5, 33, 0):
        seeing.note(joined(apart_ms))
    assert seeing.report(loop(), 7).values["most apart [ms]"] == "33.0"
    assert seeing.report(loop(), 8).values["most apart [ms]"] == "0.0"
