"""Distances between the arm's parts and to the desk, from ``mjcf/collision.xml``.

Only kinematics and geometry are computed; nothing is simulated or rendered. An instance owns
scratch memory: use one per thread.

MuJoCo is imported by the first instance, not by this module: it chooses its OpenGL while it is
imported, and who renders must be able to choose before (``so101.simulation.gl``).
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from so101.arrays import FloatArray
from so101.control.clearance import Clearance
from so101.errors import ConfigError
from so101.robot import JOINTS, description_path

STOP_M, SLOW_M = 0.010, 0.020
"""Smallest allowed distance of two parts, and the distance below which they approach slowly."""

JAW_DESK_STOP_M, JAW_DESK_SLOW_M = 0.0, 0.005
"""The same for a jaw and the desk: a grasp brings the fingertips about 1.5 mm above it."""

_DESK = "desk"
_JAWS = (
    "fixed_jaw",
    "fixed_tip",
    "fixed_corners",
    "moving_jaw",
    "moving_tip",
    "moving_corners",
)
_FAR_M = 2.0


class CollisionModel:
    """The collision model of the SO-101 on its desk."""

    def __init__(self, path: Path | None = None) -> None:
        """Load the model.

        Args:
            path: MJCF file with the robot's joints in order and a ``pair`` for any two geoms
                that may not touch. The shipped one when None.

        Raises:
            ConfigError: The file's joints are not the robot's.
        """
        self._mujoco: Any = importlib.import_module("mujoco")
        path = path or description_path("mjcf", "collision.xml")
        self._model = self._mujoco.MjModel.from_xml_path(str(path))
        self._data = self._mujoco.MjData(self._model)
        joints = tuple(self._model.joint(i).name for i in range(self._model.njnt))
        if joints != JOINTS:
            raise ConfigError(f"{path}: joints are {', '.join(joints)}, not {', '.join(JOINTS)}")
        self._qpos = self._data.qpos
        self._fromto = np.zeros(6)
        self._pairs: dict[tuple[int, int], Clearance] = {}  # by geoms, as the model has them
        for i in range(self._model.npair):
            geoms = (int(self._model.pair_geom1[i]), int(self._model.pair_geom2[i]))
            names = (self._model.geom(geoms[0]).name, self._model.geom(geoms[1]).name)
            is_jaw_desk = _DESK in names and (names[0] in _JAWS or names[1] in _JAWS)
            stop, slow = (JAW_DESK_STOP_M, JAW_DESK_SLOW_M) if is_jaw_desk else (STOP_M, SLOW_M)
            self._model.pair_margin[i] = slow
            self._pairs[geoms] = Clearance(pair=names, distance=_FAR_M, stop=stop, slow=slow)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs that are checked."""
        return tuple(clearance.pair for clearance in self._pairs.values())

    def near(self, positions: FloatArray) -> tuple[Clearance, ...]:
        """Return every pair inside its slow distance; quick when all parts are far apart.

        Args:
            positions: Joint positions [rad]. Shape (joints,).
        """
        self._place(positions)
        self._mujoco.mj_collision(self._model, self._data)
        if self._data.ncon == 0:
            return ()
        closest: dict[tuple[int, int], float] = {}
        contact = self._data.contact
        for geoms, distance in zip(contact.geom.tolist(), contact.dist.tolist(), strict=True):
            key = (geoms[0], geoms[1])
            key = key if key in self._pairs else (geoms[1], geoms[0])
            closest[key] = min(distance, closest.get(key, _FAR_M))
        return tuple(self._clearance(key, distance) for key, distance in closest.items())

    def clearances(self, positions: FloatArray) -> tuple[Clearance, ...]:
        """Return the distance of every pair, however far.

        Args:
            positions: Joint positions [rad]. Shape (joints,).
        """
        self._place(positions)
        return tuple(
            self._clearance(
                key,
                self._mujoco.mj_geomDistance(
                    self._model, self._data, key[0], key[1], _FAR_M, self._fromto
                ),
            )
            for key in self._pairs
        )

    def worst(self, positions: FloatArray) -> Clearance:
        """Return the pair with the least room to its stop distance.

        Args:
            positions: Joint positions [rad]. Shape (joints,).
        """
        return min(self.clearances(positions), key=lambda clearance: clearance.excess)

    def _place(self, positions: FloatArray) -> None:
        self._qpos[:] = positions
        self._mujoco.mj_kinematics(self._model, self._data)

    def _clearance(self, key: tuple[int, int], distance: float) -> Clearance:
        pair = self._pairs[key]
        return Clearance(pair=pair.pair, distance=distance, stop=pair.stop, slow=pair.slow)
