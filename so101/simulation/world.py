"""The simulated arm, desk and objects: a MuJoCo model behind the `Arm` protocol.

Owns physics and cameras. Knows neither time stamps nor tasks: whoever owns the clock calls
`World.advance` once per control tick.
"""

from pathlib import Path
from typing import Any

import numpy as np

from so101.arm import ArmState
from so101.arrays import FloatArray, ImageArray, IntArray
from so101.clock import CONTROL_HZ, PHYSICS_HZ
from so101.errors import ConfigError
from so101.robot import CAMERAS, JOINTS, description_path
from so101.simulation import gl
from so101.simulation.render import Renderer
from so101.simulation.tasks.task import Start

_STEPS = PHYSICS_HZ // CONTROL_HZ
_POSE = np.array([0, 1, 2, 4, 5, 6, 3])
"""Where in a free joint's part of qpos a pose is: MuJoCo's quaternion is w x y z, ours x y z w."""


class World:
    """One arm with objects on a desk, stepped by its owner."""

    def __init__(
        self,
        *,
        cameras: tuple[str, ...] = CAMERAS,
        camera_size: tuple[int, int] = (240, 320),
        scene: Path | None = None,
    ) -> None:
        """Load the scene; the arm stands at its zero pose until `reset`.

        Args:
            cameras: Camera ids that `render` will be asked for; with none, no OpenGL is needed.
            camera_size: Height and width of every picture [px].
            scene: An MJCF file with the same joint, actuator and camera names; None: pick.xml.

        Raises:
            ConfigError: The scene lacks a joint, an actuator or a camera.
            RenderError: Cameras are wanted and no OpenGL back-end works.
        """
        self._mujoco = gl.load_mujoco()
        path = scene or description_path("mjcf", "pick.xml")
        self._model = self._mujoco.MjModel.from_xml_path(str(path))
        self._model.opt.timestep = 1.0 / PHYSICS_HZ
        self._data = self._mujoco.MjData(self._model)
        self._qpos, self._qvel, self._ctrl = self._find_joints(str(path))
        self._objects = self._find_objects()
        # The joints' ranges; the actuators inherit them, but lose the last bit on the way.
        joints = [self._id(self._mujoco.mjtObj.mjOBJ_JOINT, name, str(path)) for name in JOINTS]
        self._lower, self._upper = self._model.jnt_range[joints].T
        self._cameras = {name: self._find_camera(name, str(path)) for name in cameras}
        self.camera_size = camera_size
        height, width = camera_size
        self._renderer = Renderer(self._model, height=height, width=width) if cameras else None
        self._mujoco.mj_forward(self._model, self._data)

    def reset(self, start: Start) -> None:
        """Put arm and objects at a start, at rest.

        Everything else, the solver's warm start included, is cleared: the same start gives the
        same future to the last bit, whatever happened before.

        Raises:
            ConfigError: The start has another number of joints or objects than the scene.
        """
        if start.positions.shape != (len(JOINTS),) or start.objects.shape != (
            len(self._objects),
            7,
        ):
            raise ConfigError(
                f"start: positions {start.positions.shape} and objects {start.objects.shape} do "
                f"not fit {len(JOINTS)} joints and {len(self._objects)} objects"
            )
        self._mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[self._qpos] = start.positions
        self._data.ctrl[self._ctrl] = start.positions
        self._data.qpos[self._objects] = start.objects
        self._mujoco.mj_forward(self._model, self._data)

    def read_state(self) -> ArmState:
        """Return the joints as they are; effort is the actuators' torque."""
        return ArmState(
            positions=self._data.qpos[self._qpos],
            velocities=self._data.qvel[self._qvel],
            effort=self._data.actuator_force[self._ctrl],
        )

    def write_goal(self, positions: FloatArray) -> FloatArray:
        """Set the actuators' targets [rad], clipped to their range, and return them."""
        goal: FloatArray = np.minimum(np.maximum(positions, self._lower), self._upper)
        self._data.ctrl[self._ctrl] = goal
        return goal

    def advance(self) -> None:
        """Run physics for one control period."""
        self._mujoco.mj_step(self._model, self._data, nstep=_STEPS)

    def objects(self) -> FloatArray:
        """Return the objects' poses, rows x y z qx qy qz qw [m]. Shape (objects, 7)."""
        poses: FloatArray = self._data.qpos[self._objects]
        return poses

    def render(self, camera: str) -> ImageArray:
        """Return what a camera sees now, RGB. Shape (height, width, 3).

        Raises:
            ConfigError: The world was made without this camera.
        """
        if self._renderer is None or camera not in self._cameras:
            known = ", ".join(self._cameras) or "none"
            raise ConfigError(f"the world was made without camera {camera!r}; it has {known}")
        return self._renderer.render(self._data, self._cameras[camera])

    def render_view(self, eye: FloatArray, target: FloatArray) -> ImageArray:
        """Return the scene seen from any point, RGB, for pictures in documents.

        Args:
            eye: Where the viewer is [m]. Shape (3,).
            target: What the viewer looks at [m]. Shape (3,).

        Raises:
            ConfigError: The world was made without cameras.
        """
        if self._renderer is None:
            raise ConfigError("the world was made without cameras")
        camera = self._mujoco.MjvCamera()
        ray = np.asarray(target) - np.asarray(eye)
        camera.lookat[:] = target
        camera.distance = np.linalg.norm(ray)
        camera.azimuth = np.degrees(np.arctan2(ray[1], ray[0]))
        camera.elevation = np.degrees(np.arcsin(ray[2] / camera.distance))
        return self._renderer.render(self._data, camera)

    def intrinsics(self, camera: str) -> FloatArray:
        """Return a camera's pinhole matrix K [px]. Shape (3, 3).

        Raises:
            ConfigError: The world was made without this camera.
        """
        if camera not in self._cameras:
            raise ConfigError(f"the world was made without camera {camera!r}")
        height, width = self.camera_size
        fovy = np.radians(self._model.cam_fovy[self._cameras[camera].fixedcamid])
        focal = 0.5 * height / np.tan(0.5 * fovy)
        return np.array([[focal, 0.0, 0.5 * width], [0.0, focal, 0.5 * height], [0.0, 0.0, 1.0]])

    def close(self) -> None:
        """Free the OpenGL context; may be called twice."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _id(self, kind: Any, name: str, where: str) -> int:
        found = int(self._mujoco.mj_name2id(self._model, kind, name))
        if found < 0:
            raise ConfigError(f"{where}: no {kind.name.removeprefix('mjOBJ_').lower()} {name!r}")
        return found

    def _find_joints(self, where: str) -> tuple[IntArray, IntArray, IntArray]:
        """Return where the robot's joints are in qpos, qvel and ctrl; lists would index slowly."""
        kinds = self._mujoco.mjtObj
        joints = [self._id(kinds.mjOBJ_JOINT, name, where) for name in JOINTS]
        actuators = [self._id(kinds.mjOBJ_ACTUATOR, name, where) for name in JOINTS]
        qpos, qvel = self._model.jnt_qposadr[joints], self._model.jnt_dofadr[joints]
        return qpos.astype(np.int64), qvel.astype(np.int64), np.array(actuators)

    def _find_objects(self) -> IntArray:
        """Return where in qpos the poses of the objects are. Shape (objects, 7)."""
        free = self._model.jnt_type == int(self._mujoco.mjtJoint.mjJNT_FREE)
        rows: IntArray = self._model.jnt_qposadr[free][:, None] + _POSE
        return rows

    def _find_camera(self, name: str, where: str) -> Any:
        camera = self._mujoco.MjvCamera()
        camera.type = self._mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = self._id(self._mujoco.mjtObj.mjOBJ_CAMERA, name, where)
        return camera
