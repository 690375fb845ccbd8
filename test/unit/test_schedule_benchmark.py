"""The numbers of the benchmark of chunk schedules: intervals and pairs, by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from parts.schedule_episodes import Condition, EpisodeResult, squared_jerk
from parts.schedule_figure import draw
from parts.schedule_numbers import compare, met, newcombe, table

AT_ONCE = Condition(schedule="rtc", latency_s=0.0, jitter=0.3)
LATE = Condition(schedule="rtc", latency_s=0.1, jitter=0.3)


def episode(number, *, is_success=True, jerk=1.0, stalled=0, duration_s=5.0):
    return EpisodeResult(
        number=number,
        is_success=is_success,
        duration_s=duration_s,
        followed_ticks=300,
        stalled_ticks=stalled,
        refused_chunks=0,
        changed_ticks=3,
        jerks=100,
        jerk_before=100.0 * jerk**2,
        jerk_after=100.0 * jerk**2,
        ticks=300,
        error=300.0 * 0.01**2,
    )


def test_the_interval_of_a_paired_difference_is_newcombes():
    """The worked example there: 36 both, 12 and 2 only one, 0 none."""
    low, high = newcombe(36, 12, 2, 0, z=1.959964)
    assert (low, high) == (pytest.approx(-0.3404, abs=1e-3), pytest.approx(-0.0569, abs=1e-3))
    low, high = newcombe(53, 0, 0, 1)
    assert -0.08 < low < 0.0 < high < 0.08  # never a point, however alike


@pytest.mark.parametrize("counts", [(40, 0, 0, 0), (0, 0, 0, 40), (0, 40, 0, 0), (10, 5, 5, 20)])
def test_swapping_the_two_turns_the_interval_around(counts):
    both, first, second, neither = counts
    low, high = newcombe(both, first, second, neither)
    assert -1.0 <= low <= (second - first) / sum(counts) <= high <= 1.0
    mirrored = newcombe(both, second, first, neither)
    assert mirrored == (pytest.approx(-high), pytest.approx(-low))


def test_jerk_of_a_cubic_is_its_third_derivative():
    ticks = np.arange(10)[:, None] / 60.0
    goals = list(2.0 * ticks**3 * np.ones(6))
    assert squared_jerk(goals) == pytest.approx(7 * 12.0**2)


def test_a_condition_is_compared_with_its_own_episodes():
    base = [episode(k, jerk=1.0, is_success=k != 3) for k in range(40)]
    late = [episode(k, jerk=1.1, is_success=k not in (3, 5), stalled=30) for k in range(40)]
    same, slow = compare(AT_ONCE, base, base, 0), compare(LATE, late, base, 0)
    assert same.success_change[0] == 0.0 and same.ratio_before == (1.0, (1.0, 1.0))
    assert slow.success_change[0] == pytest.approx(-1 / 40)
    assert slow.ratio_before[0] == pytest.approx(1.1)
    assert slow.stalled == pytest.approx(0.1)
    said = met([same, slow], 0.1)["rtc"]
    assert said["jerk_before_gate_at_most_1.2x"] and not said["no_stalled_tick"]
    assert not said["success_within_3_points"]  # 40 pairs cannot show it
    assert len(table([same, slow])) == 3
    assert draw([same, slow]).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="not the same episodes"):
        compare(LATE, late[1:], base, 0)
