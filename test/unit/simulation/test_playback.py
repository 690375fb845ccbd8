"""A recording of this simulation repeats when its commands are replayed."""

from dataclasses import replace

import numpy as np
import pytest

from so101.arrays import frozen
from so101.episode import EpisodeFacts, Outcome
from so101.errors import BagError
from so101.rewards.pick_rater import PickRater
from so101.simulation.build import make_cell
from so101.simulation.demonstrator import ScriptedDemonstrator
from so101.simulation.playback import RecordedMotion, play
from so101.simulation.rollout import RolloutConfig, RolloutRunner
from so101.simulation.tasks.table import make_task

FACTS = EpisodeFacts(id="demo-1", task="pick", source="teleop", seed=3, start_pose="std")


class Script:
    def __init__(self):
        self._script = ScriptedDemonstrator(make_task("pick"))

    def begin(self, facts):
        self._script.reset(facts.seed)

    def plan(self, observation):
        return self._script.act(observation)


@pytest.fixture(scope="module")
def cell():
    return make_cell(cameras=())


@pytest.fixture(scope="module")
def recording(cell):
    """An imperfect demonstration and everything that was published of it."""
    ticks = []
    config = RolloutConfig(time_limit_s=20.0)
    rollout = RolloutRunner(cell, PickRater(), config).run(FACTS, Script(), ticks.append)
    motion = RecordedMotion(
        stamps_ns=np.array([tick.stamp_ns for tick in ticks]),
        commands=np.array([tick.arm.command for tick in ticks]),
        positions=np.array([tick.arm.state.positions for tick in ticks]),
        objects=ticks[0].objects,
    )
    return rollout, motion


def test_it_repeats_to_the_bit(cell, recording):
    rollout, motion = recording
    found = play(motion, cell, PickRater())
    assert found.max_error_rad == found.mean_error_rad == 0.0
    assert found.changed_ticks == rollout.changed_ticks == 0
    assert found.ticks == len(motion.stamps_ns)
    assert found.is_success == (rollout.outcome is Outcome.SUCCESS)
    assert found.is_success


def test_it_says_how_far_off_another_arm_was(cell, recording):
    _, motion = recording
    moved = motion.positions.copy()
    moved[10:, 1] += 0.02
    found = play(replace(motion, positions=moved), cell, PickRater())
    assert found.max_error_rad == pytest.approx(0.02, abs=1e-12)
    assert 0.0 < found.mean_error_rad < 0.02


def test_without_the_cube_it_does_not_succeed(cell, recording):
    _, motion = recording
    elsewhere = motion.objects.copy()
    elsewhere[0, :2] = 0.15, -0.2
    found = play(replace(motion, objects=elsewhere), cell, PickRater())
    assert not found.is_success
    assert found.kind == "never_touched"


def test_the_gate_guards_a_replay_too(cell, recording):
    _, motion = recording
    wild = motion.commands.copy()
    wild[20:] += 1.5 * np.resize([1.0, -1.0], len(wild) - 20)[:, None]
    found = play(replace(motion, commands=wild), cell, PickRater())
    assert found.changed_ticks > 0 and found.reasons


@pytest.mark.parametrize("name", ["commands", "positions", "objects"])
def test_what_is_not_finite_is_refused(recording, name):
    _, motion = recording
    broken = getattr(motion, name).copy()
    broken[0, 0] = np.nan
    with pytest.raises(BagError, match=name):
        replace(motion, **{name: frozen(broken)})


def test_a_single_tick_is_refused(recording):
    _, motion = recording
    with pytest.raises(BagError, match="1 ticks"):
        replace(motion, stamps_ns=motion.stamps_ns[:1])
