"""The numbers of the benchmark of guarantees: what a trace says about a stop, by hand."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from parts.guarantee_figure import draw
from parts.guarantee_numbers import COUNTS, FIGURES, read_rows, spread, summary, table
from parts.guarantee_trace import TraceReader, read_motion
from parts.guarantee_wave import CENTRE_RAD, OFF_WAVE_RAD, WAVES

from so101.clock import CONTROL_GRID, CONTROL_HZ, NS_PER_S
from so101.control.safety import SafetyGate
from so101.kinematics.collision import CollisionModel
from so101.robot import JOINTS, so101

ROW_NS = 10_000_000
HEAD = "monotonic_ns," + ",".join(["x"] * 18)


def line(number, *, position=0.0, speed=0.0, goal=2047):
    """Return a row of a trace in which all joints do the same."""
    values = [f"{position:.5f}"] * 6 + [f"{speed:.5f}"] * 6 + [str(goal)] * 6
    return ",".join([str(number * ROW_NS), *values])


@pytest.fixture
def stop():
    """Goals stand from row 3 on, the arm from row 6 on; it ends 0.03 rad further."""
    goals = [2000, 2010, 2020, 2030, 2030, 2030, 2030, 2030]
    speeds = [1.0, 1.0, 1.0, 0.5, 0.2, 0.06, 0.04, 0.0]
    positions = [0.0, 0.01, 0.02, 0.025, 0.028, 0.03, 0.03, 0.03]
    rows = zip(positions, speeds, goals, strict=True)
    return read_motion([line(k, position=p, speed=s, goal=g) for k, (p, s, g) in enumerate(rows)])


def test_goals_stand_before_the_arm_does(stop):
    assert stop.commanded_still_ns == 3 * ROW_NS
    assert stop.still_ns == 6 * ROW_NS
    assert stop.near_ns(0.006) == 3 * ROW_NS


def test_who_moves_to_the_end_never_stands(stop):
    assert stop.since(0).still_ns is not None
    moving = read_motion([line(k, speed=1.0) for k in range(4)])
    assert moving.still_ns is None


def test_a_pose_is_between_its_rows_and_goals_are_found_when_first_written(stop):
    assert stop.pose_at(ROW_NS // 2) == pytest.approx([0.005] * 6)
    assert stop.written_ns(np.full(6, 2020)) == 2 * ROW_NS
    assert stop.written_ns(np.full(6, 1999)) is None
    assert stop.told.times_ns[0] == ROW_NS
    assert len(read_motion([line(k) for k in range(3)]).told.times_ns) == 0


def test_a_trace_is_read_while_it_is_written(tmp_path):
    path = tmp_path / "trace.csv"
    whole, cut = line(1), line(2)
    path.write_text(f"{HEAD}\n{line(0)}\n{whole}\n{cut[:20]}")
    reader = TraceReader(path)
    assert reader.since(1).times_ns.tolist() == [ROW_NS]
    with path.open("a") as file:
        file.write(cut[20:] + "\n")
    assert reader.since(1).times_ns.tolist() == [ROW_NS, 2 * ROW_NS]
    reader.close()


def test_the_p99_was_measured_and_the_median_need_not_be():
    assert spread([4.0, 1.0, 2.0, 3.0]) == {"n": 4, "p50": 2.5, "p99": 4.0, "max": 4.0}
    assert spread(list(range(1, 201)))["p99"] == 198


def test_what_is_promised_is_counted_and_a_trial_that_never_stood_is_a_miss(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"measurement": "policy_death", "trial": k, "commanded_ms": ms, "measured_ms": ms + 100}
        for k, ms in enumerate((120.0, 399.0, math.inf))
    ]
    rows.append({"measurement": "disturbed", "during": "policy_death", "trial": 3})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"measurement": "po')
    result = summary(read_rows(path))
    figures = result["policy_death"]["figures"]
    assert figures["commanded_ms"]["missed"] == 1
    assert figures["measured_ms"]["missed"] == 2
    assert result["policy_death"]["disturbed"] == 1
    assert "inf" in table(result)
    assert draw(result).startswith(b"\x89PNG")
    assert read_rows(tmp_path / "none") == {}


def test_every_measurement_has_a_figure():
    assert {figure.measurement for figure in FIGURES} == set(COUNTS)


@pytest.mark.parametrize("name", WAVES)
def test_the_gate_passes_a_wave_unchanged_once_it_has_caught_up(name):
    """So what is off a wave was not followed, and what brakes is a stop."""
    wave, gate = WAVES[name], SafetyGate(so101(), CollisionModel())
    pose = gate.apply(CENTRE_RAD, CENTRE_RAD).positions
    for index in range(300):
        stamp_ns = CONTROL_GRID.stamp(index)
        safe = gate.apply(wave.at(stamp_ns), pose)
        pose = safe.positions
        if index > 150:
            assert safe.reasons == ()
            assert wave.off(stamp_ns, pose) < OFF_WAVE_RAD


def test_a_wave_is_fast_at_any_time_and_its_chunk_is_due_on_it():
    wave = WAVES["fast"]
    stamps = [CONTROL_GRID.stamp(k) for k in range(wave.period_ticks)]
    poses = np.array([wave.at(stamp) for stamp in stamps])
    speeds = np.abs(np.diff(poses, axis=0)).max(axis=1) * CONTROL_HZ
    assert speeds.min() > 1.8
    assert speeds.max() < so101().max_velocity.max()
    chunk = wave.chunk(NS_PER_S)
    assert chunk.joints == JOINTS
    for time_ns, pose in zip(chunk.times_ns, chunk.positions, strict=True):
        assert wave.off(chunk.stamp_ns + time_ns, pose) == 0.0
