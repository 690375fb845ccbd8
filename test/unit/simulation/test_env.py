"""The gymnasium environment keeps gymnasium's rules and is the same arm as everything else."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from so101.action import ActionSpace
from so101.errors import ConfigError
from so101.robot import so101
from so101.simulation import gl
from so101.simulation.env import So101PickEnv, register

# Measured joints may be a little beyond their limits: the observation has no finite bounds.
allow_unbounded = pytest.mark.filterwarnings("ignore:.*value is -?infinity:UserWarning")

CHUNKS = ActionSpace(horizon=16, execute_steps=8)


@pytest.fixture
def env():
    env = So101PickEnv(space=CHUNKS)
    yield env
    env.close()


def stay(env):
    """The action that holds home."""
    return np.tile(so101().home, (env.action_space.shape[0], 1)).astype(np.float32)


def play(env, seed, steps=6):
    rng = np.random.default_rng(seed)
    rows = [env.reset(seed=seed)[0]]
    rewards = []
    for _ in range(steps):
        goal = so101().home + rng.uniform(-0.3, 0.3, 6)
        action = np.clip(
            np.tile(goal, (CHUNKS.horizon, 1)), env.action_space.low, env.action_space.high
        )
        observation, reward, _, _, info = env.step(action.astype(np.float32))
        rows.append(observation)
        rewards.append((reward, info["kind"], info["gate"]))
    return rows, rewards


@allow_unbounded
def test_gymnasiums_checker_passes_in_state_mode():
    register()
    env = gymnasium.make("So101Pick-v0").unwrapped
    check_env(env, skip_render_check=True)
    env.close()


@allow_unbounded
def test_gymnasiums_checker_passes_with_cameras():
    if gl.find_backend() is None:
        pytest.skip(gl.HINT)
    register()
    looks = {"cameras": ("wrist", "front"), "camera_size": (32, 48), "render_mode": "rgb_array"}
    env = gymnasium.make("So101Pick-v0", **looks).unwrapped
    check_env(env)
    observation, _ = env.reset(seed=1)
    assert {"wrist", "front"} <= set(observation)
    assert env.render().shape == (32, 48, 3)
    env.close()


def test_it_is_registered():
    register()
    register()
    env = gymnasium.make("So101Pick-v0")
    assert isinstance(env.unwrapped, So101PickEnv)
    env.close()


def test_the_same_seed_gives_the_same_episode_to_the_bit(env):
    first, second = play(env, 3), play(env, 3)
    assert first[1] == second[1]
    for one, other in zip(first[0], second[0], strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_another_seed_puts_the_cube_elsewhere(env):
    places = {tuple(env.reset(seed=seed)[0]["objects"][0, :2]) for seed in range(5)}
    assert len(places) == 5


def test_doing_nothing_scores_nothing(env):
    env.reset(seed=0)
    total, is_over, steps = 0.0, False, 0
    while not is_over:
        _, reward, terminated, is_over, info = env.step(stay(env))
        assert not terminated
        total += reward
        steps += 1
        is_success = info["is_success"]
    assert total == 0.0
    assert not is_success
    assert steps == pytest.approx(12.0 * 30 / CHUNKS.execute_steps, abs=1)


def test_a_wild_action_is_tamed_by_the_gate_and_said(env):
    observation, _ = env.reset(seed=0)
    spec = so101()
    _, _, _, _, info = env.step(np.tile(spec.upper, (CHUNKS.horizon, 1)).astype(np.float32))
    assert info["gate"]
    after, *_ = env.step(stay(env))
    moved = np.abs(after["command"] - observation["command"])
    assert (moved <= spec.max_velocity * 2 * CHUNKS.execute_steps / 30 + 1e-6).all()


def test_the_start_can_be_named_as_episodes_name_it(env):
    observation, info = env.reset(options={"start_seed": 77})
    again, _ = env.reset(options={"start_seed": 77})
    assert info == {"start_seed": 77}
    np.testing.assert_array_equal(observation["objects"], again["objects"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"region": "moon"}, "moon"),
        ({"render_mode": "human"}, "human"),
        ({"space": ActionSpace(kind="ee_delta")}, "joint_absolute"),
    ],
)
def test_what_is_not_offered_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        So101PickEnv(**arguments)


def test_steps_need_a_reset_and_the_right_shape(env):
    with pytest.raises(ConfigError, match="reset"):
        env.step(stay(env))
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="shape"):
        env.step(stay(env)[:3])
