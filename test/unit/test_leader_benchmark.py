"""The benchmark of the leader's latency: what counts as the goal that rests on a reading."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from leader_latency import latencies

NONE = [0.0] * 6
READING = [0.5] * 6


def rows(followed):
    """Return a reading answered at 105, told at 110 with stamp 100, and goals at 120 and 140."""
    return {
        "lead": {"read": [[80, 85, NONE], [100, 105, READING]], "told": [[100, 110]]},
        "arbitrate": {"heard": [[100, 112]], "told": [[100, 113]]},
        "drive": {
            "followed": followed,
            "written": [[100, 0, 120, 121, NONE], [116, 100, 140, 141, READING]],
        },
    }


@pytest.mark.parametrize(("at", "written", "is_newest"), [(119, 121, False), (121, 141, True)])
def test_a_latency_ends_with_the_first_goal_after_the_driver_follows(at, written, is_newest):
    (one,) = latencies(rows([[100, at]]), (0, 1000))
    assert (one["before"], one["read"], one["written"]) == (85, 105, written)
    assert one["is_newest"] is is_newest
    assert max(map(abs, one["off"])) == (0.0 if is_newest else 0.5)


def test_a_reading_that_nobody_follows_is_counted_and_one_outside_the_span_is_not():
    (one,) = latencies(rows([]), (0, 1000))
    assert "written" not in one
    assert not list(latencies(rows([[100, 119]]), (111, 1000)))
