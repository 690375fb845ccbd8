"""The simulated pick as a gymnasium environment: no ROS, the same arm loop, gate and observation.

One step is one decision: the action is a chunk in the environment's action space, of which
`ActionSpace.execute_steps` points are executed before the next one. What the gate changed is in
``info``, as on the robot.
"""

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from so101.action import ActionChunk, ActionSpace
from so101.arrays import FloatArray, ImageArray
from so101.control.action_codec import ActionCodec
from so101.control.trajectory import chunk_to_trajectory
from so101.errors import ConfigError
from so101.observation import Observation
from so101.rewards.pick_rater import PickRater
from so101.robot import JOINTS, so101
from so101.simulation.build import make_cell
from so101.simulation.cell import CellTick
from so101.simulation.tasks.table import make_task

SINGLE_STEP = ActionSpace(horizon=1, execute_steps=1)
"""One joint position per policy tick: the smallest action there is."""


class So101PickEnv(gymnasium.Env[dict[str, Any], FloatArray]):
    """Pick up the cube.

    Observations are a dict: ``positions``, ``velocities``, ``effort`` and ``command`` (joints,),
    ``objects`` (objects, 7) and one RGB image per camera. The reward is 1 at success, else 0.
    Success terminates, the time limit truncates.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012  # as the base class has it

    def __init__(
        self,
        *,
        region: str = "std",
        cameras: tuple[str, ...] = (),
        camera_size: tuple[int, int] = (224, 224),
        space: ActionSpace = SINGLE_STEP,
        render_mode: str | None = None,
    ) -> None:
        """Build the cell.

        Args:
            region: Where the cube may lie: small, std or wide.
            cameras: Cameras in the observation.
            camera_size: Height and width of their images [px].
            space: What an action is.
            render_mode: ``rgb_array`` or None.

        Raises:
            ConfigError: The region, the render mode or the action space is not offered.
            RenderError: Cameras are wanted and no OpenGL back-end works.
        """
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render mode {render_mode!r} is not rgb_array")
        if space.kind == "ee_delta":
            raise ConfigError("the environment takes joint_absolute and joint_delta actions")
        self.render_mode = render_mode
        self._task = make_task("pick", region)
        self._space = space
        self._codec = ActionCodec(space)
        views = cameras or (("front",) if render_mode else ())
        self._cell = make_cell(cameras=views, camera_size=camera_size)
        self._cell.cameras = cameras
        self._rater = PickRater()
        self._observation: Observation | None = None
        self._start_ns = 0
        self.action_space = cast(spaces.Space[FloatArray], _action_box(space))
        self.observation_space = _observation_space(cameras, camera_size)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put arm and cube at a start drawn from the environment's generator.

        Args:
            seed: Reseeds the generator.
            options: ``start_seed``: the start itself, as episodes name it; ``jitter`` [rad]: how
                far off home the arm starts.
        """
        super().reset(seed=seed)
        options = options or {}
        start_seed = options.get("start_seed")
        if start_seed is None:
            start_seed = int(self.np_random.integers(2**31))
        start = self._task.start(int(start_seed), jitter=float(options.get("jitter", 0.0)))
        self._start_ns = self._cell.reset(start)
        self._cell.loop.arm()
        self._rater.reset()
        command = start.positions
        tick = self._cell.tick()
        self._observation = self._observe(tick, command)
        self._rater.update(self._observation)
        return self._to_dict(self._observation), {"start_seed": start_seed}

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Execute one action.

        Args:
            action: Numbers of the action space. Shape (horizon, size).

        Raises:
            ConfigError: `reset` was not called, or the action has another shape.
        """
        if self._observation is None:
            raise ConfigError("call reset before step")
        if np.shape(action) != self.action_space.shape:
            raise ConfigError(f"action: shape {np.shape(action)}, need {self.action_space.shape}")
        self._follow(self._observation, action)
        reasons: set[str] = set()
        reward, is_success, is_failure = 0.0, False, False
        for _ in range(self._space.decision_ticks):
            before, tick = self._run_policy_tick()
            reasons.update(before.arm.reasons, tick.arm.reasons)
            self._observation = self._observe(tick, before.arm.command)
            verdict = self._rater.update(self._observation)
            reward += verdict.reward
            is_success, is_failure = verdict.is_success, verdict.is_failure
            if is_success or is_failure:
                break
        elapsed_s = (self._observation.stamp_ns - self._start_ns) * 1e-9
        is_over = elapsed_s >= self._task.time_limit_s
        info = {"is_success": is_success, "kind": verdict.kind, "gate": tuple(sorted(reasons))}
        terminated = is_success or is_failure
        return (
            self._to_dict(self._observation),
            reward,
            terminated,
            is_over and not terminated,
            info,
        )

    def render(self) -> ImageArray | None:
        """Return the front camera's view."""
        return self._cell.world.render("front") if self.render_mode else None

    def close(self) -> None:
        """Free the OpenGL context."""
        self._cell.world.close()

    def _follow(self, observation: Observation, action: FloatArray) -> None:
        reference = self._codec.reference(observation)
        positions = self._codec.decode(np.asarray(action, dtype=np.float64), reference)
        chunk = ActionChunk(
            stamp_ns=observation.stamp_ns, positions=positions, rate_hz=self._space.rate_hz
        )
        self._cell.follow(chunk_to_trajectory(chunk, JOINTS))

    def _run_policy_tick(self) -> tuple[CellTick, CellTick]:
        """Run to the next policy tick; return the control tick before it, and it."""
        self._cell.advance()
        before = self._cell.tick()
        self._cell.advance()
        return before, self._cell.tick()

    def _observe(self, tick: CellTick, command: FloatArray) -> Observation:
        state = tick.arm.state
        return Observation(
            stamp_ns=tick.stamp_ns,
            positions=state.positions,
            velocities=state.velocities,
            effort=state.effort,
            command=command,
            images=tick.images,
            task=self._task.instruction,
            objects=tick.objects,
        )

    def _to_dict(self, observation: Observation) -> dict[str, Any]:
        names = ("positions", "velocities", "effort", "command", "objects")
        columns = {
            name: np.asarray(getattr(observation, name), dtype=np.float32) for name in names
        }
        return {**columns, **observation.images}


def _action_box(space: ActionSpace) -> spaces.Box:
    spec = so101()
    low, high = spec.lower, spec.upper
    if space.kind == "joint_delta":
        low, high = low - high, high - low
        low[-1], high[-1] = spec.lower[-1], spec.upper[-1]
    if space.gripper == "ternary":
        low, high = low.copy(), high.copy()
        low[-1], high[-1] = -1.0, 1.0
    rows = (space.horizon, 1)
    return spaces.Box(
        np.tile(low, rows).astype(np.float32), np.tile(high, rows).astype(np.float32)
    )


def _observation_space(cameras: tuple[str, ...], size: tuple[int, int]) -> spaces.Dict:
    joints = len(JOINTS)
    columns: dict[str, gymnasium.Space[Any]] = {
        name: spaces.Box(-np.inf, np.inf, (joints,), np.float32)
        for name in ("positions", "velocities", "effort", "command")
    }
    columns["objects"] = spaces.Box(-np.inf, np.inf, (1, 7), np.float32)
    for camera in cameras:
        columns[camera] = spaces.Box(0, 255, (*size, 3), np.uint8)
    return spaces.Dict(columns)


def register() -> None:
    """Make ``gymnasium.make("So101Pick-v0")`` work."""
    if "So101Pick-v0" not in gymnasium.registry:
        gymnasium.register(id="So101Pick-v0", entry_point="so101.simulation.env:So101PickEnv")
