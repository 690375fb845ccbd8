"""The scripted demonstrator: how it moves, what it achieves, how it recovers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so101.clock import POLICY_GRID
from so101.errors import MotionError
from so101.kinematics.chain import GRASP_FRAME, so101_chain
from so101.observation import Observation
from so101.rewards.success import PickSuccess
from so101.robot import so101
from so101.simulation.demonstrator import HORIZON, Imperfection, ScriptedDemonstrator
from so101.simulation.grasp_planner import GraspPlanner, fingertip_height
from so101.simulation.hand_motion import HandMotion, Segment
from so101.simulation.tasks.pick import REGIONS, PickTask, cube_pose

EXECUTE = 8


def observe(world, tick, command):
    state = world.read_state()
    return Observation(
        stamp_ns=POLICY_GRID.stamp(tick),
        positions=state.positions,
        velocities=state.velocities,
        effort=state.effort,
        command=command,
        objects=world.objects(),
    )


class Episode:
    """Plays chunks on the world as the arm loop does, without a gate."""

    def __init__(self, world, task, demonstrator, seed, jitter=0.0):
        start = task.start(seed, jitter=jitter)
        world.reset(start)
        self.world, self.demonstrator = world, demonstrator
        self.rater = PickSuccess()
        self.commands = [start.positions]
        self.chunks = []
        self.tick = 0
        self.sample = None

    def run(self, seconds, disturb=None):
        last = int(seconds * 30)
        while self.tick < last:
            observation = observe(self.world, self.tick, self.commands[-1])
            self.sample = self.rater.update(
                observation.stamp_ns, observation.positions, observation.objects
            )
            if self.sample.is_success:
                return True
            if disturb is not None:
                disturb(self)
            if self.tick % EXECUTE == 0:
                self.chunks.append(self.demonstrator.act(observation))
            point = self.chunks[-1].positions[self.tick % EXECUTE]
            for share in (0.0, 0.5):
                self.world.write_goal(self.commands[-1] + share * (point - self.commands[-1]))
                self.world.advance()
            self.commands.append(point)
            self.tick += 1
        return False


def run(world, seed, imperfection, region="std"):
    demonstrator = ScriptedDemonstrator(PickTask(region=region), imperfection)
    demonstrator.reset(seed)
    episode = Episode(
        world, PickTask(region=region), demonstrator, seed, imperfection.start_jitter(seed)
    )
    return episode, episode.run(12.0)


@pytest.mark.parametrize("region", sorted(REGIONS))
def test_the_clean_expert_always_succeeds(world, region):
    for seed in range(8):
        episode, is_success = run(world, seed, Imperfection.none(), region)
        assert is_success, seed
        assert episode.tick / 30 < 6.0
        assert episode.sample.slip_m < 0.005


def test_the_imperfect_demonstrator_is_slower_and_mostly_succeeds(world):
    results = [run(world, seed, Imperfection()) for seed in range(12)]
    assert sum(is_success for _, is_success in results) >= 11
    assert np.median([episode.tick / 30 for episode, _ in results]) > 5.0


def test_commands_keep_the_joint_limits_and_the_fingertips_off_the_desk(world):
    robot = so101()
    for seed in range(20, 28):
        commands = np.array(run(world, seed, Imperfection())[0].commands)
        velocity = np.diff(commands, axis=0) * 30
        assert (np.abs(velocity) <= robot.max_velocity).all()
        assert (np.abs(np.diff(velocity, axis=0) * 30) <= robot.max_acceleration).all()
        assert (commands >= robot.lower).all() and (commands <= robot.upper).all()
        assert min(fingertip_height(command) for command in commands) >= 0.001


def test_a_chunk_keeps_what_the_one_before_promised(world):
    episode, _ = run(world, 5, Imperfection())
    for before, after in zip(episode.chunks, episode.chunks[1:], strict=False):
        assert before.positions.shape == (HORIZON, 6)
        np.testing.assert_array_equal(before.positions[EXECUTE:], after.positions[:EXECUTE])


def test_an_episode_repeats_to_the_bit(world):
    first, again = (run(world, 7, Imperfection())[0] for _ in range(2))
    np.testing.assert_array_equal(first.commands, again.commands)


def test_it_looks_again_and_retries_after_a_miss(world):
    """The cube is taken away from under the closing jaws, then lies still elsewhere."""
    task = PickTask(region="small")
    demonstrator = ScriptedDemonstrator(task, Imperfection.none())
    demonstrator.reset(1)
    episode = Episode(world, task, demonstrator, 1)

    def steal(episode):
        if episode.tick == 48:
            data = episode.world._data
            data.qpos[6:13] = cube_pose(0.2, 0.07, 0.3)[[0, 1, 2, 6, 3, 4, 5]]
            data.qvel[6:12] = 0.0

    assert episode.run(12.0, disturb=steal)
    assert demonstrator.attempts == 2


def test_it_gives_up_after_three_misses_and_goes_home(world):
    task = PickTask(region="small")
    demonstrator = ScriptedDemonstrator(task, Imperfection.none())
    demonstrator.reset(1)
    episode = Episode(world, task, demonstrator, 1)

    def dodge(episode):
        grasp = so101_chain().pose(episode.world.read_state().positions, GRASP_FRAME)[:3, 3]
        cube = episode.world.objects()[0]
        if np.linalg.norm(grasp - cube[:3]) < 0.045:
            data = episode.world._data
            data.qpos[7] = -0.06 if cube[1] > 0 else 0.06
            data.qvel[6:12] = 0.0

    assert not episode.run(20.0, disturb=dodge)
    assert demonstrator.attempts == 3
    assert np.abs(episode.commands[-1] - so101().home)[:5].max() < 0.02
    np.testing.assert_array_equal(episode.commands[-1], episode.commands[-30])


def test_it_takes_over_in_the_middle_without_a_jump(world):
    """A policy has left the arm low beside the cube, jaws closed."""
    task = PickTask(region="small")
    plan = GraspPlanner().plan(cube_pose(0.2, 0.0, 0.0), so101().home)
    demonstrator = ScriptedDemonstrator(task, Imperfection.none())
    demonstrator.reset(3)
    episode = Episode(world, task, demonstrator, 3)
    low = plan.grasp.copy()
    low[0] += 0.35
    low[5] = 0.0
    world._data.qpos[:6] = low
    episode.commands = [low]
    assert episode.run(12.0)
    assert np.abs(episode.commands[1] - low).max() < 0.01


def test_it_starts_over_when_somebody_else_has_steered(world):
    task = PickTask(region="small")
    demonstrator = ScriptedDemonstrator(task, Imperfection.none())
    demonstrator.reset(4)
    episode = Episode(world, task, demonstrator, 4)
    episode.run(1.0)
    elsewhere = so101().home + np.array([0.6, 0.0, 0.0, 0.0, 0.0, 0.0])
    chunk = demonstrator.act(observe(world, 40, elsewhere))
    assert np.abs(chunk.positions[0] - elsewhere).max() < 0.05


def test_recovery_starts_have_their_share():
    jitters = Counter(Imperfection().start_jitter(seed) for seed in range(1000))
    assert set(jitters) == {0.0, 0.08}
    assert 130 <= jitters[0.08] <= 210
    assert not any(Imperfection.none().start_jitter(seed) for seed in range(50))


def test_it_needs_objects(world):
    world.reset(PickTask().start(0))
    blind = Observation(
        stamp_ns=0,
        positions=so101().home,
        velocities=np.zeros(6),
        effort=np.zeros(6),
        command=so101().home,
    )
    with pytest.raises(MotionError, match="simulation only"):
        ScriptedDemonstrator(PickTask()).act(blind)


poses = st.lists(st.floats(-1.5, 1.5), min_size=6, max_size=6).map(np.array)


@settings(max_examples=30)
@given(poses, poses, poses, st.integers(0, 1000), st.integers(0, 60))
def test_any_motion_and_any_stop_keep_the_limits(start, via, goal, seed, stop_after):
    robot = so101()
    start, via, goal = (np.clip(pose, robot.lower, robot.upper) for pose in (start, via, goal))
    middle = 0.5 * (start + goal)
    via = np.clip(middle + 0.1 * (via - middle), robot.lower, robot.upper)
    hand = HandMotion(
        start=start, imperfection=Imperfection(tremor_rad=0.0), rng=np.random.default_rng(seed)
    )
    hand.play([Segment(phase="move", goal=goal, duration_s=0.1, via=via)])
    commands = [start, start]
    for tick in range(400):
        if tick == stop_after:
            hand.stop()
        commands.append(hand.tick())
        if hand.is_still:
            break
    assert hand.is_still
    velocity = np.diff(commands, axis=0) * 30
    assert (np.abs(velocity) <= robot.max_velocity).all()
    assert (np.abs(np.diff(velocity, axis=0) * 30) <= robot.max_acceleration).all()
