"""Laws of the gate for an arm that is too close to something already, as a loose one lies down."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from wall import Wall

from so101.control.safety import SafetyGate
from so101.errors import CollidingLineError
from so101.kinematics.collision import CollisionModel
from so101.kinematics.planner import plan_line
from so101.robot import so101

SPEC, MODEL = so101(), CollisionModel()
DEEPEST_M = 0.03
LAWS = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def too_close(rng):
    """Return a pose with parts too close, and the distances of those pairs [m]."""
    while True:
        pose = rng.uniform(SPEC.lower, SPEC.upper)
        tight = {c.pair: c.distance for c in MODEL.near(pose) if c.excess < 0.0}
        if tight and min(tight.values()) > -DEEPEST_M:
            return pose, tight


@pytest.mark.case(21)
@LAWS
@given(seeds)
def test_no_goal_deepens_what_is_too_close_nor_brings_others_together(seed):
    rng = np.random.default_rng(seed)
    pose, tight = too_close(rng)
    gate = SafetyGate(SPEC, MODEL)
    gate.reset(pose)
    for _ in range(4):
        goal = rng.uniform(SPEC.lower, SPEC.upper)
        for _ in range(15):
            pose = gate.apply(goal, pose).positions
            for c in MODEL.near(pose):
                assert c.distance >= min(c.stop, tight.get(c.pair, c.stop)) - 1e-9, c


@pytest.mark.case(21)
@LAWS
@given(seeds)
def test_a_line_that_only_parts_them_passes_unchanged(seed):
    rng = np.random.default_rng(seed)
    start, _ = too_close(rng)
    goal = start + rng.uniform(-0.3, 0.3, len(start))
    assume((goal >= SPEC.lower).all() and (goal <= SPEC.upper).all())
    try:
        line = plan_line(start, goal, SPEC, MODEL, stamp_ns=0)
    except CollidingLineError:
        assume(False)
    gate, pose = SafetyGate(SPEC, MODEL), start
    gate.reset(start)
    for wish in line.positions:
        safe = gate.apply(wish, pose)
        pose = safe.positions
        assert safe.reasons == ()
    np.testing.assert_array_equal(pose, goal)


@pytest.mark.case(21)
def test_a_joint_that_leads_deeper_holds_back_no_other():
    start, goal = np.zeros(6), np.full(6, 0.6)
    start[0] = 0.497
    gate, pose = SafetyGate(SPEC, Wall()), start
    gate.reset(start)
    for _ in range(90):
        safe = gate.apply(goal, pose)
        pose = safe.positions
    assert pose[0] == start[0]
    assert safe.reasons[-1] == "collision: link - wall"
    np.testing.assert_array_equal(pose[1:], goal[1:])


def test_elsewhere_an_obstacle_stops_the_whole_arm():
    """Joints that go on alone would leave the way that was asked for."""
    start, goal = np.zeros(6), np.full(6, 1.0)
    start[0] = 0.3
    gate, pose = SafetyGate(SPEC, Wall()), start
    gate.reset(start)
    for _ in range(120):
        pose = gate.apply(goal, pose).positions
    assert 0.48 < pose[0] <= 0.49 + 1e-9
    assert pose[1] < 0.5
