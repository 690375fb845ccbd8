"""The fuzzed chunks in small, and that their judge finds what is wrong."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import fuzz_chunks
from parts.fuzz_messages import KINDS, Message, Present
from parts.fuzz_oracle import Oracle
from parts.fuzz_path import Path as WayThrough
from parts.fuzz_path import tell
from parts.fuzz_servos import calibration

from so101.control.safety import SafeGoal
from so101.robot import JOINTS, so101
from so101.ros.convert import from_joint_trajectory
from so101.ros.trajectory_bytes import trajectory_from_bytes

SPEC = so101()


@pytest.fixture(scope="module")
def story():
    with fuzz_chunks.quiet_middleware(), np.errstate(all="ignore"):
        return tell(1, 0, 1000, check_collisions=False)


@pytest.mark.case(11, 12, 13, 14, 15, 16)
def test_whatever_a_topic_carries_every_servo_goal_is_safe(story):
    assert story.violations == []
    assert story.chunks == 1000


def test_the_arm_really_moves_meanwhile_and_at_its_limits(story):
    margins = story.oracle.margins
    assert margins.velocity > 0.95 and margins.acceleration > 0.9
    assert margins.travelled > 30.0
    assert story.goals > 800
    for kind in KINDS:
        assert any(what.startswith(f"{kind}: ") for what in story.counts), kind
    for became in ("followed", "not readable", "refused by the arm loop"):
        assert any(what.endswith(f": {became}") for what in story.counts), became
    for reason in ("invalid", "out of order", "another speaker", "e-stop is on", "not enabled"):
        assert any(what.endswith(f"dropped: {reason}") for what in story.counts), reason


class OpenGate:
    """A gate that lets everything out, as if there were none."""

    def __init__(self, gate):
        self._gate = gate
        self._command = gate.command

    def __getattr__(self, name):
        return getattr(self._gate, name)

    @property
    def command(self):
        return self._command

    def apply(self, goal, measured):
        if goal is not None:
            self._command = goal
        return SafeGoal(positions=self._command)


def without_gate(path):
    path.driver.loop._gate = OpenGate(path.driver.loop._gate)


def test_without_the_gate_the_oracle_finds_every_kind_of_violation():
    found = set()
    for number in range(3):
        with fuzz_chunks.quiet_middleware(), np.errstate(all="ignore"):
            broken = tell(1, number, 300, check_collisions=False, change=without_gate)
        assert broken.violations
        found |= {text.split(": ")[2] for text in broken.violations}
    assert found >= {"outside the range", "too far ahead", "too fast", "too hard"}


@pytest.mark.parametrize(
    ("goals", "words"),
    [
        ([2047, 2147], "too fast"),
        ([2147], "no beginning where it is"),
        ([2047, 2067, 2047], "too hard"),
        ([2047, 2300], "too far ahead"),
        ([4000], "outside the range"),
        ([4096], "no goal at all"),
    ],
)
def test_a_wrong_goal_is_named_by_its_joint(goals, words):
    """Of the wrist, whose middle is 2047; all others stay where they are."""
    oracle, home = Oracle(SPEC, calibration()), calibration().to_ticks(np.zeros(6))
    for ticks in goals:
        goal = home.copy()
        goal[4] = ticks
        found = oracle.judge(goal, home)
    assert any(text.startswith(words) for text in found), found
    assert all("wrist_roll" in text for text in found if not text.startswith("no goal"))


def test_the_oracle_reads_ticks_as_the_driver_means_them():
    oracle, ticks = Oracle(SPEC, calibration()), np.array([0, 1000, 2000, 3000, 4095, 2345])
    np.testing.assert_allclose(oracle.to_rad(ticks), calibration().to_rad(ticks), atol=1e-5)


def test_the_encoder_of_the_fuzz_writes_messages_that_others_read():
    """So that its broken messages are broken where it means to break them."""
    from rclpy.serialization import deserialize_message
    from trajectory_msgs.msg import JointTrajectory

    rng = np.random.default_rng(0)
    for name in ("good", "fast", "moving"):
        made = KINDS[name][1](rng, Present(now_ns=10**10, command=SPEC.home))
        assert isinstance(made, Message)
        data = made.to_bytes()
        read = from_joint_trajectory(deserialize_message(data, JointTrajectory))
        assert read.joints == JOINTS and read.stamp_ns == made.stamp_ns
        assert list(read.times_ns) == list(made.times_ns)
        np.testing.assert_array_equal(read.positions, made.positions)
        np.testing.assert_array_equal(trajectory_from_bytes(data).positions, made.positions)


def test_a_run_that_was_broken_off_goes_on_to_the_same_end(tmp_path, monkeypatch):
    def run(state, *chunks):
        for total in chunks:
            options = ["--chunks", str(total), "--story-chunks", "30", "--state", str(state)]
            monkeypatch.setattr(sys, "argv", ["fuzz_chunks.py", *options])
            assert fuzz_chunks.main() == 0
        return {k: v for k, v in json.loads(state.read_text()).items() if k != "seconds"}

    assert run(tmp_path / "once.json", 90) == run(tmp_path / "twice.json", 30, 90)
    monkeypatch.setattr(
        sys, "argv", ["fuzz_chunks.py", "--seed", "5", "--state", str(tmp_path / "once.json")]
    )
    with pytest.raises(SystemExit, match="seed is 0, not 5"):
        fuzz_chunks.main()


def test_an_error_that_would_end_a_node_is_a_violation(monkeypatch):
    def broken(self, topic, data):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(WayThrough, "deliver", broken)
    told = tell(1, 0, 5, check_collisions=False)
    assert len(told.violations) == 1
    assert "ZeroDivisionError" in told.violations[0]


def test_an_arm_begins_where_it_was_as_it_was_armed_though_it_moves_on():
    middle = np.array([(one.range_min + one.range_max) // 2 for one in calibration().joints])
    moved = middle + 50
    for goal, is_fine in ((middle, True), (moved, False)):
        oracle = Oracle(SPEC, calibration())
        oracle.begin(middle)
        assert (oracle.judge(goal, moved) == []) == is_fine
