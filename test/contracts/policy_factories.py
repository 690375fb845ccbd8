"""Small, seeded policies, observations and batches for the conformance suites."""

import numpy as np

from so101.action import ActionSpace
from so101.data.batch import ChunkBatch, ObservationBatch
from so101.observation import Observation
from so101.policies.flow.config import FlowConfig, FlowNorms
from so101.policies.flow.policy import FlowPolicy
from so101.policies.transforms import Normalizer
from so101.robot import so101
from so101.spec import PolicySpec

CAMERAS = ("wrist", "front")
SIZE = (24, 24)


def make_spec(*, cameras=(), space=None):
    return PolicySpec(
        cameras=cameras,
        image_size=SIZE if cameras else (0, 0),
        uses_objects=not cameras,
        action_space=space or ActionSpace(),
    )


def make_policy(*, cameras=(), space=None, config=None, seed=0):
    robot = so101()
    spec = make_spec(cameras=cameras, space=space)
    joints = Normalizer.from_range(robot.lower, robot.upper)
    low = np.array([0.1, -0.2, 0.0, -1.0, -1.0])
    wide = np.ones(7 if spec.action_space.kind == "ee_delta" else 6)
    is_absolute = spec.action_space.kind == "joint_absolute"
    actions = joints if is_absolute else Normalizer.from_range(-wide, wide)
    norms = FlowNorms(
        positions=joints,
        actions=actions,
        objects=Normalizer.from_range(low, [0.4, 0.2, 0.1, 1.0, 1.0]) if not cameras else None,
    )
    config = config or FlowConfig(width=32, depth=2, channels=(4, 6), keypoints=5)
    return FlowPolicy(spec, config, norms, seed=seed)


def make_observation(*, cameras=(), seed=0, stamp_ns=1_000_000_000):
    rng = np.random.default_rng(seed)
    pose = so101().home + rng.normal(0.0, 0.05, 6)
    return Observation(
        stamp_ns=stamp_ns,
        positions=pose,
        velocities=np.zeros(6),
        effort=np.zeros(6),
        command=pose + 0.001,
        images={camera: rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8) for camera in cameras},
        task="pick up the cube",
        objects=None if cameras else np.array([[0.22, 0.01, 0.0125, 0.0, 0.0, 0.0, 1.0]]),
    )


def make_batch(rng, *, rows=6, cameras=(), horizon=16):
    robot = so101()

    def poses(*shape):
        return rng.uniform(robot.lower, robot.upper, (*shape, 6)).astype(np.float32)

    objects = np.zeros((rows, 1, 7), dtype=np.float32)
    objects[:, 0, :2] = rng.uniform([0.17, -0.09], [0.27, 0.09], (rows, 2))
    objects[:, 0, 6] = 1.0
    zeros = np.zeros((rows, 6), dtype=np.float32)
    start = poses(rows)
    ramp = np.linspace(0.0, 1.0, horizon, dtype=np.float32)[:, None]
    return ChunkBatch(
        observation=ObservationBatch(
            positions=start,
            velocities=zeros,
            effort=zeros,
            commands=start,
            images={
                camera: rng.integers(0, 256, (rows, *SIZE, 3)).astype(np.uint8)
                for camera in cameras
            },
            objects=None if cameras else objects,
        ),
        actions=start[:, None] * (1 - ramp) + robot.home.astype(np.float32) * ramp,
        mask=np.ones((rows, horizon), dtype=np.bool_),
        weight=np.ones(rows, dtype=np.float32),
    )
