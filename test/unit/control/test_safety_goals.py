"""Ten thousand random goals: nothing touches, by the gate's own model and by the simulation's."""

import mujoco
import numpy as np
import pytest

from so101.control.safety import SafetyGate
from so101.kinematics.collision import CollisionModel
from so101.robot import JOINTS, description_path, so101

SPEC, MODEL = so101(), CollisionModel()
GOALS = 10_000
TICKS = 20
"""A third of a second for each goal: some are reached, most are replaced on the way."""

FOLDED = "lower_arm_link - shoulder_link"
"""Folded at rest, the one lies on the other by design: the gate's model has no such pair."""


class Drawn:
    """The simulation's own model: which parts touch the desk or one another, and how deep."""

    def __init__(self):
        self.model = mujoco.MjModel.from_xml_path(str(description_path("mjcf", "pick.xml")))
        self.data = mujoco.MjData(self.model)
        self.at = [self.model.joint(name).qposadr[0] for name in JOINTS]
        cube = self.model.body("cube")
        self.data.qpos[self.model.jnt_qposadr[cube.jntadr[0]]] = 50.0  # out of the way
        self.model.body_contype[:] = self.model.body_conaffinity[:] = 3
        self.model.geom_contype[:] = self.model.geom_conaffinity[:] = 3
        room = self.model.geom("room").id
        self.model.geom_contype[room] = self.model.geom_conaffinity[room] = 0

    def touched(self, positions):
        """Return the links that touch, and how deep they are in one another [m]."""
        self.data.qpos[self.at] = positions
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_collision(self.model, self.data)
        depths = {}
        for contact in self.data.contact:
            links = (self.model.body(self.model.geom_bodyid[geom]).name for geom in contact.geom)
            pair = " - ".join(sorted(links))
            depths[pair] = min(depths.get(pair, 0.0), contact.dist)
        return {pair: depth for pair, depth in depths.items() if depth < 0.0}


@pytest.mark.case(21)
@pytest.mark.chaos  # three minutes
@pytest.mark.timeout(1200)
def test_ten_thousand_random_goals_bring_nothing_together():
    rng, drawn, gate = np.random.default_rng(0), Drawn(), SafetyGate(SPEC, MODEL)
    position, stopped, folded = SPEC.home, 0, 0.0
    gate.reset(position)
    for _ in range(GOALS):
        goal, reasons = rng.uniform(SPEC.lower, SPEC.upper), ()
        for _ in range(TICKS):
            safe = gate.apply(goal, position)
            position, reasons = safe.positions, safe.reasons
            assert MODEL.worst(position).excess >= -1e-9
            touched = drawn.touched(position)
            assert set(touched) <= {FOLDED}
            folded = min(folded, touched.get(FOLDED, 0.0))
        stopped += any(reason.startswith("collision") for reason in reasons)
    print(
        f"{GOALS} goals: {stopped} stopped for, folded arm {-1e3 * folded:.1f} mm in its shoulder"
    )
    assert stopped > GOALS / 20
    assert folded > -0.003


@pytest.mark.case(21)
def test_the_other_model_sees_what_the_gate_prevents():
    """Or the test above could not fail."""
    drawn, reach, folded = Drawn(), SPEC.home.copy(), SPEC.home.copy()
    assert drawn.touched(SPEC.home) == {}
    reach[1], reach[2] = SPEC.upper[1], 0.0
    touched = drawn.touched(reach)
    assert touched["lower_arm_link - world"] < -0.01 and "gripper_link - world" in touched
    folded[:4] = 0.0, -1.7, 1.5, 1.55
    assert drawn.touched(folded)["gripper_link - shoulder_link"] < -0.01
