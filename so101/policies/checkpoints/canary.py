"""A last look at a policy before it may drive: fixed observations, finite, in limits, not far off.

It does not judge how good a policy is; that is the update gate's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so101.arrays import FloatArray, ImageArray
from so101.config import option
from so101.errors import CheckpointError
from so101.observation import Observation
from so101.policies.policy import Inference, Policy
from so101.policies.wrappers.seeded_noise import chunk_noise
from so101.robot import RobotSpec, so101
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class CanaryConfig:
    """Bounds of the canary."""

    observations: int = option(4, "Fixed observations that are tried.", range=(1, 100))
    seed: int = option(0, "Seed of observations and noise.")
    limit_margin: float = option(
        0.35, "How far beyond a joint limit a planned point may lie [rad].", range=(0.0, 3.0)
    )
    max_change: float = option(
        3.0, "Largest difference to the previous policy's chunk [rad].", range=(0.01, 10.0)
    )


def canary_observations(
    spec: PolicySpec, config: CanaryConfig, robot: RobotSpec | None = None
) -> list[Observation]:
    """Return fixed observations near home, the images smooth noise."""
    robot = robot or so101()
    rng = np.random.default_rng(config.seed)
    observations = []
    for _ in range(config.observations):
        pose = np.clip(robot.home + rng.normal(0.0, 0.05, 6), robot.lower, robot.upper)
        xyz = [rng.uniform(0.17, 0.27), rng.uniform(-0.09, 0.09), 0.0125]
        observations.append(
            Observation(
                stamp_ns=0,
                positions=pose,
                velocities=np.zeros_like(pose),
                effort=np.zeros_like(pose),
                command=pose,
                images={camera: _image(spec.image_size, rng) for camera in spec.cameras},
                task=spec.task,
                objects=np.array([[*xyz, 0.0, 0.0, 0.0, 1.0]]) if spec.uses_objects else None,
            )
        )
    return observations


def check_canary(
    policy: Policy,
    previous: Policy | None = None,
    config: CanaryConfig | None = None,
    *,
    observations: Sequence[Observation] | None = None,
    arrays: Sequence[str] = (),
    where: str = "canary",
) -> None:
    """Refuse a policy that must not drive.

    Args:
        policy: The new one.
        previous: The one it follows, or None.
        config: Bounds.
        observations: What is shown to both; None takes `canary_observations`.
        arrays: Names of auxiliary arrays that it must give out with each chunk.
        where: Name of the checkpoint, for the message.

    Raises:
        CheckpointError: A chunk is not finite, leaves the joint limits, or differs too much from
            the previous policy's; or an array is missing.
    """
    config = config or CanaryConfig()
    if observations is None:
        observations = canary_observations(policy.spec, config)
    for index, observation in enumerate(observations):
        inference = _infer(policy, observation, index, config)
        chunk = inference.chunk.positions
        _check_limits(chunk, config, where)
        _check_arrays(inference, arrays, where)
        if previous is None or previous.spec != policy.spec:
            continue
        before = _infer(previous, observation, index, config).chunk.positions
        change = float(np.abs(chunk - before).max())
        if change > config.max_change:
            raise CheckpointError(
                f"{where}: differs by {change:.2f} rad from the previous policy, "
                f"allowed {config.max_change:g}"
            )


def _infer(
    policy: Policy, observation: Observation, index: int, config: CanaryConfig
) -> Inference:
    noise = chunk_noise(config.seed, 0, index, policy.noise_shape)
    return policy.infer(observation, noise=noise if policy.noise_shape else None)


def _check_arrays(inference: Inference, arrays: Sequence[str], where: str) -> None:
    for name in arrays:
        if name not in inference.aux:
            raise CheckpointError(
                f"{where}: gives out no array {name!r} with its chunks; "
                f"it has {', '.join(inference.aux) or 'none'}"
            )
        if inference.aux[name].ndim not in (1, 2):
            shape = inference.aux[name].shape
            raise CheckpointError(f"{where}: array {name!r} of shape {shape} is no table")


def _check_limits(chunk: FloatArray, config: CanaryConfig, where: str) -> None:
    robot = so101()
    if not np.isfinite(chunk).all():
        raise CheckpointError(f"{where}: plans positions that are not finite")
    beyond = np.maximum(robot.lower - chunk, chunk - robot.upper).max(axis=0)
    joint = int(np.argmax(beyond))
    if beyond[joint] > config.limit_margin:
        raise CheckpointError(
            f"{where}: plans {robot.joints[joint]} {beyond[joint]:.2f} rad beyond its limits, "
            f"allowed {config.limit_margin:g}"
        )


def _image(size: tuple[int, int], rng: np.random.Generator) -> ImageArray:
    coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    rows, columns = (np.linspace(0, 7, pixels).astype(np.int64) for pixels in size)
    return coarse[rows][:, columns]
