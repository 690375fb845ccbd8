"""Ten thousand random goals: what may touch what, by the gate's own model and by another one.

The jaws may go down to the desk, for a grasp does. The simulation's gripper is made of boxes, the
gate's of capsules that leave out their corners: a jaw's touches the desk up to 3 mm earlier than
the gate thinks, the palm's up to 10 mm.
"""

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

DEEPEST_M = -0.011
JAW_LINKS = {"gripper_link", "moving_jaw_so101_v1_link"}


class Desk:
    """The simulation's own model: where the arm touches the desk, and how deep."""

    def __init__(self):
        self.model = mujoco.MjModel.from_xml_path(str(description_path("mjcf", "pick.xml")))
        self.data = mujoco.MjData(self.model)
        self.at = [self.model.joint(name).qposadr[0] for name in JOINTS]
        self.desk = self.model.geom("desk").id
        self.cube = self.model.geom("cube").id
        cube = self.model.body(self.model.geom_bodyid[self.cube])
        self.data.qpos[self.model.jnt_qposadr[cube.jntadr[0]]] = 50.0  # out of the way

    def touched(self, positions):
        """Return the links that touch the desk, and how deep the deepest one is in it [m]."""
        self.data.qpos[self.at] = positions
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_collision(self.model, self.data)
        depths = {}
        for contact in self.data.contact:
            others = set(contact.geom) - {self.desk}
            if len(others) == 1 and self.cube not in others:
                link = self.model.body(self.model.geom_bodyid[others.pop()]).name
                depths[link] = min(depths.get(link, 0.0), contact.dist)
        return {link: depth for link, depth in depths.items() if depth < 0.0}


@pytest.mark.case(21)
@pytest.mark.chaos  # two minutes
@pytest.mark.timeout(1200)
def test_ten_thousand_random_goals_bring_nothing_together():
    rng, desk, gate = np.random.default_rng(0), Desk(), SafetyGate(SPEC, MODEL)
    position, touching, stopped, deepest = SPEC.home, 0, 0, 0.0
    gate.reset(position)
    for _ in range(GOALS):
        goal, seen, reasons = rng.uniform(SPEC.lower, SPEC.upper), {}, ()
        for _ in range(TICKS):
            safe = gate.apply(goal, position)
            position, reasons = safe.positions, safe.reasons
            assert MODEL.worst(position).excess >= -1e-9
            seen |= desk.touched(position)
        assert set(seen) <= JAW_LINKS
        deepest = min(deepest, *seen.values(), 0.0)
        touching += bool(seen)
        stopped += any(reason.startswith("collision") for reason in reasons)
    print(
        f"{GOALS} goals: {stopped} stopped for, {touching} touched, {1000 * deepest:.1f} mm deep"
    )
    assert stopped > GOALS / 20
    assert deepest >= DEEPEST_M


@pytest.mark.case(21)
def test_the_other_model_sees_what_the_gate_prevents():
    """Or the test above could not fail."""
    desk, reach = Desk(), SPEC.home.copy()
    assert desk.touched(reach) == {}
    reach[1], reach[2] = SPEC.upper[1], 0.0
    touched = desk.touched(reach)
    assert min(touched.values()) < DEEPEST_M
    assert set(touched) - JAW_LINKS
