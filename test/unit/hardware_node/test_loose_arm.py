"""A loose arm lies down on itself and the desk; armed there, it goes home."""

import mujoco
import numpy as np
import pytest
from virtual_twin import SPEC, TwinRig

from so101.control.arm_mode import ArmMode
from so101.kinematics.collision import CollisionModel
from so101.kinematics.planner import plan_motion
from so101.robot import JOINTS, description_path

LOOSE_TICKS = 120
THROUGH_M = -0.003
"""How far parts sink into one another under the arm's weight: contacts are soft."""


def drawn_distance(one, other, positions):
    """Return how far two drawn parts are from one another [m]."""
    model = mujoco.MjModel.from_xml_path(str(description_path("mjcf", "so101.xml")))
    data = mujoco.MjData(model)
    data.qpos[[model.joint(name).qposadr[0] for name in JOINTS]] = positions
    mujoco.mj_kinematics(model, data)
    geoms = (model.geom(one).id, model.geom(other).id)
    return mujoco.mj_geomDistance(model, data, *geoms, 1.0, np.zeros(6))


@pytest.fixture(params=["home", "rest", "zero", "extended"])
def rig(request, tmp_path):
    rig = TwinRig(
        tmp_path / "arm.json",
        pose=SPEC.poses[request.param],
        is_armed=False,
        collision=CollisionModel(),
    )
    rig.tick(LOOSE_TICKS)
    return rig


@pytest.mark.case(21)
def test_armed_where_it_lay_down_it_goes_home(rig):
    rig.switch_on()
    rig.tick(30)
    command, home = rig.tick().command, SPEC.home
    way = plan_motion(
        command,
        home,
        SPEC,
        CollisionModel(),
        rng=np.random.default_rng(0),
        stamp_ns=rig.port.clock_ns,
    )
    rig.loop.follow(way, rig.port.clock_ns)
    while rig.loop.mode is ArmMode.ARMED:
        rig.tick()
    rig.tick(60)
    np.testing.assert_array_equal(rig.tick().command, home)
    assert np.abs(rig.truth - home).max() < 0.02


def test_a_loose_arm_lies_on_itself_and_does_not_sink_through(tmp_path):
    assert drawn_distance("palm", "lift_strap", SPEC.home) > 0.02
    rig = TwinRig(tmp_path / "arm.json", is_armed=False)
    rig.tick(5 * LOOSE_TICKS)
    assert THROUGH_M < drawn_distance("palm", "lift_strap", rig.truth) < 0.001
    assert drawn_distance("palm", "lift_servo", rig.truth) > THROUGH_M
