"""The collision model: its frames, its distances, and the poses that must stay allowed."""

import json
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.errors import ConfigError
from so101.kinematics.collision import (
    JAW_DESK_SLOW_M,
    SLOW_M,
    STOP_M,
    CollisionModel,
)
from so101.robot import description_path, so101

SPEC = so101()
CORNERS = {"fixed_corners", "moving_corners"}
JAWS = {"fixed_jaw", "fixed_tip", "moving_jaw", "moving_tip"} | CORNERS
HAND = {"gripper_link": "fixed_corners", "moving_jaw_so101_v1_link": "moving_corners"}
ELSEWHERE = {"roll_disc", "gripper_servo", "camera_arm", "camera_board", "pivot"}
"""Drawn parts of the hand whose corners other parts of the model keep off the desk by 1 cm."""
REFERENCE = Path(__file__).parents[2] / "data" / "fk_reference.json"
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def model():
    return CollisionModel()


def test_its_frames_are_the_urdfs():
    """Body positions agree with the official forward kinematics to 1e-5 m."""
    spec = mujoco.MjModel.from_xml_path(str(description_path("mjcf", "collision.xml")))
    data = mujoco.MjData(spec)
    bodies = {"gripper_link": "gripper_link", "moving_jaw_link": "moving_jaw_so101_v1_link"}
    for sample in json.loads(REFERENCE.read_text())["samples"]:
        data.qpos[:] = sample["q"]
        mujoco.mj_kinematics(spec, data)
        for name, body in bodies.items():
            np.testing.assert_allclose(data.body(body).xpos, sample[name]["xyz"], atol=1e-5)


def test_jaw_and_jaw_have_no_pair_and_every_other_distant_link_has_one(model):
    pairs = {frozenset(pair) for pair in model.pairs}
    assert len(pairs) == len(model.pairs)
    assert not any(pair <= JAWS for pair in pairs)
    moving = {"upper_arm", "lower_arm", "wrist", "gripper", "camera"} | JAWS
    assert all(frozenset((part, "desk")) in pairs for part in moving)
    distal = {"wrist", "gripper", "camera"} | JAWS - CORNERS
    assert all(frozenset((part, "base")) in pairs for part in distal)
    assert all(frozenset((part, "shoulder")) in pairs for part in distal)


def test_margins_are_per_pair(model):
    for clearance in model.clearances(SPEC.home):
        is_grasp = bool(set(clearance.pair) & JAWS) and "desk" in clearance.pair
        expected = (0.0, JAW_DESK_SLOW_M) if is_grasp else (STOP_M, SLOW_M)
        assert (clearance.stop, clearance.slow) == expected


@pytest.mark.case(21)
@settings(max_examples=30, deadline=None)
@given(seeds)
def test_the_hands_corners_are_those_of_the_drawn_parts(seed):
    """Before the desk: no drawn corner is lower than the model's, and none 0.3 mm higher."""
    pose = np.random.default_rng(seed).uniform(SPEC.lower, SPEC.upper)
    drawn = mujoco.MjModel.from_xml_path(str(description_path("mjcf", "so101.xml")))
    data = mujoco.MjData(drawn)
    data.qpos[:] = pose
    mujoco.mj_kinematics(drawn, data)
    lowest = dict.fromkeys(CORNERS, np.inf)
    for geom in range(drawn.ngeom):
        corners = HAND.get(drawn.body(drawn.geom_bodyid[geom]).name)
        if corners is None or drawn.geom(geom).name in ELSEWHERE:
            continue
        reach = np.abs(data.geom_xmat[geom].reshape(3, 3)[2]) @ drawn.geom_size[geom]
        lowest[corners] = min(lowest[corners], data.geom_xpos[geom, 2] - reach)
    modelled = {c.pair[1]: c.distance for c in CollisionModel().clearances(pose)}
    for corners, height in lowest.items():
        assert 0.0 < height - modelled[corners] < 0.0003


@pytest.mark.parametrize("pose", sorted(SPEC.poses))
def test_named_poses_are_allowed(model, pose):
    worst = model.worst(SPEC.poses[pose])
    assert worst.excess > 0.001, worst


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_near_finds_exactly_the_close_pairs(seed):
    model = CollisionModel()
    pose = np.random.default_rng(seed).uniform(SPEC.lower, SPEC.upper)
    every = {c.pair: c for c in model.clearances(pose)}
    near = {c.pair: c for c in model.near(pose)}
    assert set(near) == {pair for pair, c in every.items() if c.distance < c.slow}
    for pair, clearance in near.items():
        if clearance.distance > 0:
            assert clearance.distance == pytest.approx(every[pair].distance, abs=1e-6)
        else:
            assert every[pair].distance <= 1e-6
    assert model.worst(pose).excess == min(c.excess for c in every.values())


def test_fingertips_may_be_1_mm_above_the_desk_but_not_the_wrist(model):
    """Straight down over the desk: lowered until the tips are 1 mm above it."""
    pose = np.array([0.0, 0.0, 0.0, np.pi / 2, 0.0, 0.3])
    low, high = 0.0, 1.2  # lift and flex together keep the gripper pointing down
    for _ in range(40):
        bend = 0.5 * (low + high)
        pose[1], pose[3] = bend, np.pi / 2 - bend
        tips = [c.distance for c in model.clearances(pose) if c.pair[0] == "desk"]
        low, high = (bend, high) if min(tips) > 0.001 else (low, bend)
    clearances = {c.pair: c for c in model.clearances(pose)}
    tip = min((c for p, c in clearances.items() if set(p) & JAWS), key=lambda c: c.distance)
    assert "desk" in tip.pair and tip.distance == pytest.approx(0.001, abs=1e-4)
    assert model.worst(pose).excess > 0.0
    pressed = pose + np.array([0, 0.02, 0, 0, 0, 0])
    assert model.worst(pressed).excess < 0.0


def test_a_model_with_other_joints_is_refused(tmp_path):
    path = tmp_path / "arm.xml"
    path.write_text(
        "<mujoco><worldbody><body><joint name='elbow'/><geom size='1'/></body>"
        "</worldbody></mujoco>"
    )
    with pytest.raises(ConfigError, match="joints are elbow, not shoulder_pan"):
        CollisionModel(path)
