"""How the demonstrator departs from a perfect machine: in tempo, in rest, in what it sees.

Without physics: the arm is where it was told to be, and the cube, which nobody moves, is missed.
"""

import numpy as np
import pytest

from so101.clock import POLICY_GRID
from so101.observation import Observation
from so101.robot import so101
from so101.simulation.demonstrator import Imperfection, ScriptedDemonstrator
from so101.simulation.grasp_planner import GraspPlanner, cube_yaw
from so101.simulation.hand_motion import HandMotion, Segment
from so101.simulation.tasks.pick import PickTask, cube_pose

CUBE = cube_pose(0.2, 0.02, 0.3)
EXECUTE = 8
SEEDS = range(100)


@pytest.fixture
def looks(monkeypatch):
    """The cubes that were planned for; every plan is that for the true one."""
    plan = GraspPlanner().plan(CUBE, so101().home)
    found = []

    def instead(planner, cube, current):
        found.append(cube)
        return plan

    monkeypatch.setattr(GraspPlanner, "plan", instead)
    return found


def demonstrate(imperfection, seed, seconds):
    """Return what an episode commands. Shape (ticks, joints)."""
    demonstrator = ScriptedDemonstrator(PickTask(), imperfection)
    demonstrator.reset(seed)
    commands = [so101().home]
    for tick in range(0, int(30 * seconds), EXECUTE):
        observation = Observation(
            stamp_ns=POLICY_GRID.stamp(tick),
            positions=commands[-1],
            velocities=np.zeros(6),
            effort=np.zeros(6),
            command=commands[-1],
            objects=CUBE[None],
        )
        commands += list(demonstrator.act(observation).positions[:EXECUTE])
    return np.array(commands)


def tempo(imperfection, seed):
    """Return how much of a motion of 20 s a hand plays in one second, in seconds."""
    hand = HandMotion(
        start=so101().home, imperfection=imperfection, rng=np.random.default_rng(seed)
    )
    hand.play([Segment(phase="move", goal=so101().home + 0.2, duration_s=20.0)])
    progress = []
    for _ in range(60):
        hand.tick()
        progress.append(hand.progress)
    return 20.0 * (progress[59] - progress[29])


def rests(commands):
    """Return the length in ticks of every stretch of an episode in which nothing moves."""
    is_still = (np.diff(commands, axis=0) == 0.0).all(axis=1).astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_still, [0]))))
    return (edges[1::2] - edges[::2]).tolist()


def test_speeds_lie_between_two_fifths_of_the_nominal_and_all_of_it():
    drawn = np.array([tempo(Imperfection(hesitations=0.0), seed) for seed in SEEDS])
    assert drawn.min() >= 0.4 - 1e-9 and drawn.max() <= 1.0 + 1e-9
    counts, _ = np.histogram(drawn, bins=6, range=(0.4 - 1e-9, 1.0 + 1e-9))
    assert counts.min() > 0.5 * len(SEEDS) / 6
    assert tempo(Imperfection.none(), 0) == pytest.approx(1.0)


def test_hesitations_are_pauses_in_which_nothing_moves(looks):
    """Looked for while the first attempt lasts, four segments long."""
    on, off = (
        [
            rests(demonstrate(Imperfection(speed=(1.0, 1.0), hesitations=mean), seed, 2.9))
            for seed in SEEDS
        ]
        for mean in (0.2, 0.0)
    )
    assert off == [[]] * len(SEEDS)
    lengths = [length for found in on for length in found]
    assert min(lengths) >= 3  # 0.3 s less the time in which the hand slows down
    assert 0.3 * 30 <= np.median(lengths) <= 0.8 * 30
    assert 0.3 < np.mean([bool(found) for found in on]) < 0.7  # 0.2 in a segment


def test_where_it_believes_the_cube_has_the_configured_spread(looks):
    def errors(imperfection):
        looks.clear()
        for seed in SEEDS:
            demonstrate(imperfection, seed, 0.1)
        assert len(looks) == len(SEEDS)
        return np.array([[*(cube - CUBE)[:2], cube_yaw(cube) - cube_yaw(CUBE)] for cube in looks])

    assert np.abs(errors(Imperfection.none())).max() < 1e-12
    for spread_m, spread_rad in ((0.004, 0.05), (0.01, 0.1)):
        found = errors(Imperfection(position_error_m=spread_m, yaw_error_rad=spread_rad))
        expected = np.array([spread_m, spread_m, spread_rad])
        np.testing.assert_allclose(found.std(axis=0), expected, rtol=0.2)
        assert (np.abs(found.mean(axis=0)) < 0.25 * expected).all()


def test_a_second_look_is_twice_as_careful(looks):
    for seed in range(30):
        demonstrate(Imperfection(speed=(1.0, 1.0), hesitations=0.0), seed, 10.0)
    errors = (np.array(looks) - CUBE)[:, :2].reshape(30, 3, 2)
    assert errors[:, 0].std() == pytest.approx(0.004, rel=0.2)
    assert errors[:, 1:].std() == pytest.approx(0.002, rel=0.2)
