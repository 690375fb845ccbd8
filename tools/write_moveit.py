"""Write the files of MoveIt that follow from the robot's own: a test compares them.

The SRDF's groups, states and collision matrix, and MoveIt's form of the joint limits. Run
``python tools/write_moveit.py`` after changing the URDF, ``joint_limits.yaml`` or ``poses.yaml``.
It takes half a minute: which links can touch one another is found by trying poses.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":  # the checkout's modules, installed or not
    sys.path.insert(0, str(ROOT))

from so101.arrays import FloatArray  # noqa: E402
from so101.kinematics.urdf import robot_description  # noqa: E402
from so101.robot import BASE_FRAME, GRIPPER, JOINTS, TOOL_FRAME, so101  # noqa: E402
from so101.simulation import gl  # noqa: E402

SRDF = ROOT / "so101_description" / "srdf" / "so101.srdf.xacro"
LIMITS = ROOT / "config" / "joint_limits.yaml"

SAMPLES = 100_000
ALWAYS = 0.95
"""Links that touch in this share of all poses do so by the way they are drawn."""

ARM_STATES = ("home", "rest", "zero", "extended")
GRIPPER_STATES = {"open": 1.5, "closed": -0.16}
"""[rad]; closed leaves a little to the stop, where a servo would press on."""

DEFAULT_SCALING = 0.2
"""Share of the limits that MoveIt plans with unless it is asked for more: people are near."""

PLANNED_ACCELERATION = 10.0
"""The limit of a plan [rad/s²]. The gate's is higher: it must not reshape a policy's chunks."""

Pairs = Mapping[tuple[str, str], str]


class Touching:
    """Which links of the URDF touch, by its collision geometry. The desk is none of them.

    Attributes:
        links: Links that have a geometry.
    """

    def __init__(self) -> None:
        """Load the URDF into MuJoCo, every pair of links checked."""
        self._mujoco: Any = gl.load_mujoco()
        flags = '<mujoco><compiler discardvisual="true" fusestatic="false"/></mujoco></robot>'
        text = robot_description().replace("</robot>", flags)
        self._model = model = self._mujoco.MjModel.from_xml_string(text)
        model.opt.disableflags |= int(self._mujoco.mjtDisableBit.mjDSBL_FILTERPARENT)
        model.geom_margin[:] = 0.0
        self._data = self._mujoco.MjData(model)
        joints = tuple(model.joint(number).name for number in range(model.njnt))
        if joints != JOINTS:
            raise ValueError(f"MuJoCo found the joints {', '.join(joints)} in the URDF")
        self._names = [model.body(number).name for number in range(model.nbody)]
        self.links = tuple(
            name for number, name in enumerate(self._names) if model.body_geomnum[number]
        )

    def at(self, positions: FloatArray) -> frozenset[tuple[str, str]]:
        """Return the pairs that touch in a pose.

        Args:
            positions: [rad]. Shape (joints,).
        """
        self._data.qpos[:] = positions
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_collision(self._model, self._data)
        bodies = self._model.geom_bodyid[self._data.contact.geom[: self._data.ncon]]
        return frozenset(
            self.pair(self._names[one], self._names[other]) for one, other in bodies.tolist()
        )

    def adjacent(self) -> Iterable[tuple[str, str]]:
        """Yield the pairs that a joint joins."""
        for number, parent in enumerate(self._model.body_parentid.tolist()):
            pair = self._names[number], self._names[parent]
            if set(pair) <= set(self.links):
                yield self.pair(*pair)

    def pair(self, one: str, other: str) -> tuple[str, str]:
        """Return two links in the order of the arm, from its base on."""
        first, second = sorted((one, other), key=self._names.index)
        return first, second


def poses(samples: int, seed: int = 0) -> FloatArray:
    """Return poses within the joints' limits [rad]. Shape (samples, joints)."""
    spec, rng = so101(), np.random.default_rng(seed)
    return np.asarray(rng.uniform(spec.lower, spec.upper, (samples, len(JOINTS))))


def disabled_pairs(touching: Touching, samples: int = SAMPLES) -> dict[tuple[str, str], str]:
    """Return the pairs that need no check, and why."""
    reasons = dict.fromkeys(touching.adjacent(), "Adjacent")
    named = frozenset().union(*(touching.at(state_pose(name)) for name in ARM_STATES))
    counts: Counter[tuple[str, str]] = Counter()
    for pose in poses(samples):
        counts.update(touching.at(pose))
    for one, other in combinations(touching.links, 2):
        pair = touching.pair(one, other)
        if pair in reasons:
            continue
        if pair in named:
            reasons[pair] = "Default"  # they lie on one another in a pose that is meant to be
        elif counts[pair] == 0:
            reasons[pair] = "Never"
        elif counts[pair] > ALWAYS * samples:
            reasons[pair] = "Always"
    return reasons


def state_pose(name: str) -> FloatArray:
    """Return a named pose of the arm, or of the gripper with the arm at home [rad]."""
    if name not in GRIPPER_STATES:
        return so101().poses[name]
    pose = so101().home.copy()
    pose[GRIPPER] = GRIPPER_STATES[name]
    return pose


def srdf_text(pairs: Pairs) -> str:
    """Return the SRDF, as xacro for the prefix of several arms."""
    head = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<!-- What MoveIt has to know beside the URDF. Written by tools/write_moveit.py. -->",
        '<robot name="so101" xmlns:xacro="http://www.ros.org/wiki/xacro">',
        '  <xacro:arg name="prefix" default=""/>',
        '  <xacro:property name="prefix" value="$(arg prefix)"/>',
        "",
        "  <!-- The URDF's root is the world already, so that there is no virtual joint. -->",
        '  <group name="arm">',
        f'    <chain base_link="${{prefix}}{BASE_FRAME}" tip_link="${{prefix}}{TOOL_FRAME}"/>',
        "  </group>",
        '  <group name="gripper">',
        f'    <joint name="${{prefix}}{JOINTS[GRIPPER]}"/>',
        "  </group>",
        '  <group name="all">',
        '    <group name="arm"/>',
        '    <group name="gripper"/>',
        "  </group>",
        '  <end_effector name="gripper" parent_link="${prefix}gripper_link" group="gripper"'
        ' parent_group="arm"/>',
        "",
    ]
    states = [
        line
        for group, joints in (("arm", JOINTS[:GRIPPER]), ("all", JOINTS))
        for name in ARM_STATES
        for line in _state(name, group, joints)
    ]
    states += [line for name in GRIPPER_STATES for line in _state(name, "gripper", ("gripper",))]
    matrix = [
        f'  <disable_collisions link1="${{prefix}}{one}" link2="${{prefix}}{other}" '
        f'reason="{reason}"/>'
        for (one, other), reason in sorted(pairs.items(), key=lambda item: (item[1], item[0]))
    ]
    return "\n".join([*head, *states, "", *matrix, "</robot>"]) + "\n"


def _state(name: str, group: str, joints: Iterable[str]) -> list[str]:
    pose = dict(zip(JOINTS, state_pose(name).tolist(), strict=True))
    values = [
        f'    <joint name="${{prefix}}{joint}" value="{pose[joint]!r}"/>' for joint in joints
    ]
    return [f'  <group_state name="{name}" group="{group}">', *values, "  </group_state>"]


def limits_text() -> str:
    """Return MoveIt's form of the joint limits. Positions are the URDF's."""
    spec = so101()
    lines = [
        "# MoveIt's joint limits: those of so101_description/joint_limits.yaml, with less",
        "# acceleration. Written by tools/write_moveit.py. Units: rad/s, rad/s2.",
        f"default_velocity_scaling_factor: {DEFAULT_SCALING}",
        f"default_acceleration_scaling_factor: {DEFAULT_SCALING}",
        "joint_limits:",
    ]
    for number, joint in enumerate(JOINTS):
        fastest = min(PLANNED_ACCELERATION, float(spec.max_acceleration[number]))
        lines += [
            f"  {joint}:",
            "    has_velocity_limits: true",
            f"    max_velocity: {float(spec.max_velocity[number])}",
            "    has_acceleration_limits: true",
            f"    max_acceleration: {fastest}",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    SRDF.parent.mkdir(exist_ok=True)
    SRDF.write_text(srdf_text(disabled_pairs(Touching())), encoding="utf-8")
    LIMITS.write_text(limits_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
