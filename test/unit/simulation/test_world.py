"""Laws of the simulated world."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from so101.errors import ConfigError
from so101.robot import JOINTS, description_path, so101
from so101.simulation.tasks.pick import PickTask
from so101.simulation.tasks.task import Start
from so101.simulation.world import World

shared_world = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15
)


def future(world, start, goals):
    world.reset(start)
    seen = []
    for goal in goals:
        world.write_goal(goal)
        world.advance()
        state = world.read_state()
        seen.append(
            np.concatenate(
                (state.positions, state.velocities, state.effort, world.objects().ravel())
            )
        )
    return np.array(seen)


def random_goals(seed, count=20):
    robot = so101()
    rng = np.random.default_rng(seed)
    return rng.uniform(robot.lower, robot.upper, (count, len(JOINTS)))


@shared_world
@given(st.integers(0, 2**31 - 1))
def test_the_same_start_gives_the_same_future_to_the_bit(world, seed):
    start = PickTask(region="wide").start(seed, jitter=0.08)
    goals = random_goals(seed)
    first = future(world, start, goals)
    future(world, PickTask().start(seed + 1), random_goals(seed + 1))  # anything in between
    np.testing.assert_array_equal(future(world, start, goals), first)


def test_two_worlds_agree_to_the_bit(world):
    start, goals = PickTask().start(3), random_goals(3)
    np.testing.assert_array_equal(
        future(World(cameras=()), start, goals), future(world, start, goals)
    )


@shared_world
@given(st.integers(0, 2**31 - 1))
def test_a_reset_is_exact_and_at_rest(world, seed):
    start = PickTask(region="wide").start(seed, jitter=0.05)
    future(world, start, random_goals(seed, 3))
    world.reset(start)
    state = world.read_state()
    np.testing.assert_array_equal(state.positions, start.positions)
    np.testing.assert_array_equal(state.velocities, np.zeros(6))
    np.testing.assert_array_equal(world.objects(), start.objects)


def test_the_arm_holds_its_start_against_gravity(world):
    start = PickTask().start(0)
    states = future(world, start, [start.positions] * 60)
    assert np.abs(states[-1, :6] - start.positions).max() < 0.01
    assert np.abs(states[-1, 12:18]).max() > 0.1  # effort: it does carry itself


def test_readings_are_copies(world):
    start = PickTask().start(0)
    world.reset(start)
    state, objects = world.read_state(), world.objects()
    world.write_goal(np.zeros(6))
    world.advance()
    np.testing.assert_array_equal(state.positions, start.positions)
    np.testing.assert_array_equal(objects, start.objects)


def test_a_goal_is_clipped_to_the_range_and_returned(world):
    world.reset(PickTask().start(0))
    robot = so101()
    np.testing.assert_array_equal(world.write_goal(np.full(6, 9.0)), robot.upper)
    np.testing.assert_array_equal(world.write_goal(np.full(6, -9.0)), robot.lower)


def test_one_advance_is_one_control_period(world):
    start = PickTask().start(0)
    goal = start.positions.copy()
    goal[0] = 0.5
    world.reset(start)
    world.write_goal(goal)
    before = world.read_state()
    world.advance()
    after = world.read_state()
    mean_velocity = (after.positions[0] - before.positions[0]) * 60
    assert 0.0 < mean_velocity < after.velocities[0]


def test_misfits_are_named(world):
    with pytest.raises(ConfigError, match="do not fit 6 joints and 1 objects"):
        world.reset(Start(positions=np.zeros(5), objects=np.zeros((1, 7))))
    with pytest.raises(ConfigError, match="without camera 'front'"):
        world.render("front")
    with pytest.raises(ConfigError, match=r"so101.xml: no camera 'front'"):
        World(cameras=("front",), scene=description_path("mjcf", "so101.xml"))


def test_pictures_show_the_scene(camera_world):
    near = PickTask(region="small").start(0)
    camera_world.reset(near)
    for camera in ("wrist", "front"):
        picture = camera_world.render(camera)
        assert picture.shape == (48, 64, 3)
        assert picture.dtype == np.uint8
        blue = (picture[..., 2] > 1.5 * picture[..., 0]) & (picture[..., 2] > 60)
        assert blue.sum() >= 4, camera  # the cube
        np.testing.assert_array_equal(camera_world.render(camera), picture)


def test_the_front_camera_projects_as_its_intrinsics_say(camera_world):
    from so101.kinematics.chain import so101_chain

    start = PickTask(region="small").start(4)
    camera_world.reset(start)
    picture = camera_world.render("front").astype(float)
    weight = np.clip(picture[..., 2] - 1.3 * picture[..., 0] - 20, 0, None)
    rows, columns = np.indices(weight.shape) + 0.5
    seen = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    pose = so101_chain().pose(start.positions, "front_camera_optical_frame")
    cube = pose[:3, :3].T @ (start.objects[0, :3] - pose[:3, 3])
    ray = camera_world.intrinsics("front") @ cube
    np.testing.assert_allclose(seen, ray[:2] / ray[2], atol=1.5)


def test_a_closed_world_can_be_closed_again(camera_world):
    other = World(camera_size=(16, 16), cameras=("front",))
    assert other.render("front").shape == (16, 16, 3)
    other.close()
    other.close()
    assert camera_world.render("front").shape == (48, 64, 3)
