"""The arm that the servos turn: the simulation's own model, driven by torques."""

import math
from typing import Any

import numpy as np

from so101.arrays import BoolArray, FloatArray
from so101.clock import PHYSICS_HZ
from so101.robot import JOINTS, description_path
from so101.simulation import gl

STEP_HZ = PHYSICS_HZ
"""Physics and the servos' position control; the real ones control at about 1 kHz."""
FREE_DAMPING = 0.12
"""Of a servo with its bridge open: gear friction only, no back-EMF [N·m·s/rad]; a guess."""
_PART, _SELF = 1, 4  # bits of the parts in mjcf/so101.xml, and for touching one another
HAND_STIFFNESS = 30.0
HAND_DAMPING = 3.0
HAND_TORQUE = 4.0
"""A hand is stronger than a servo [N·m/rad, N·m·s/rad, N·m]."""


class Plant:
    """One arm over its desk."""

    def __init__(self, positions: FloatArray) -> None:
        """Load the model; the arm stands at ``positions`` [rad], at rest. Shape (joints,)."""
        mujoco = self._mujoco = gl.load_mujoco()
        path = str(description_path("mjcf", "pick.xml"))
        self._model = model = mujoco.MjModel.from_xml_path(path)
        model.opt.timestep = 1.0 / STEP_HZ
        _let_parts_touch(model)
        # The servos' own control stands in the place of the model's: its actuators do nothing.
        model.actuator_gainprm[:] = 0.0
        model.actuator_biasprm[:] = 0.0
        joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in JOINTS]
        self._qpos = np.array(model.jnt_qposadr[joints])
        self._dofs = np.array(model.jnt_dofadr[joints])
        self._damping = np.array(model.dof_damping[self._dofs])
        self._data = mujoco.MjData(model)
        self._data.qpos[self._qpos] = positions
        self._hand = np.full(len(JOINTS), np.nan)
        self._is_held: BoolArray = np.zeros(len(JOINTS), dtype=np.bool_)
        mujoco.mj_forward(model, self._data)

    @property
    def positions(self) -> FloatArray:
        """Joint positions [rad]. Shape (joints,)."""
        positions: FloatArray = self._data.qpos[self._qpos]
        return positions

    @property
    def velocities(self) -> FloatArray:
        """Joint velocities [rad/s]. Shape (joints,)."""
        velocities: FloatArray = self._data.qvel[self._dofs]
        return velocities

    def hold(self, joint: int, position: float) -> None:
        """Let a hand hold a joint at a position [rad]; not a number: let go."""
        self._hand[joint] = position
        self._is_held[joint] = not math.isnan(position)

    def step(self, torques: FloatArray, is_driven: BoolArray) -> None:
        """Let 1 / `STEP_HZ` pass.

        Args:
            torques: Of the motors [N·m]. Shape (joints,).
            is_driven: The motor's bridge is closed, so that back-EMF brakes. Shape (joints,).
        """
        if self._is_held.any():
            torques = torques + self._hand_torques()
        self._data.qfrc_applied[self._dofs] = torques
        self._model.dof_damping[self._dofs] = np.where(is_driven, self._damping, FREE_DAMPING)
        self._mujoco.mj_step(self._model, self._data)

    def _hand_torques(self) -> FloatArray:
        reach = HAND_STIFFNESS * (self._hand - self.positions) - HAND_DAMPING * self.velocities
        limited = np.minimum(np.maximum(reach, -HAND_TORQUE), HAND_TORQUE)
        return np.where(self._is_held, limited, 0.0)


def _let_parts_touch(model: Any) -> None:
    """Let the arm's parts touch one another, but for those that a joint connects.

    The simulation needs none of it, for its arm is never without the gate. A loose arm is: it lies
    down on itself.
    """
    parts = np.flatnonzero(model.geom_contype == _PART)
    bodies = np.unique(model.geom_bodyid[parts])
    model.geom_contype[parts] |= _SELF
    model.geom_conaffinity[parts] |= _SELF
    model.body_contype[bodies] |= _SELF  # pairs of bodies are sorted out by these
    model.body_conaffinity[bodies] |= _SELF
