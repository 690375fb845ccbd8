"""The arena's episodes are those of the plan, and those of the evaluation."""

import numpy as np
import pytest
from contracts.policy_factories import make_policy

from learner_node.arena import Arena
from so101.episode_plan import EpisodePlan
from so101.errors import ConfigError
from so101.evaluation import EvaluationConfig, evaluate

POLICY = make_policy()


@pytest.fixture(scope="module")
def arena():
    made = Arena(EpisodePlan(seed=2), POLICY.spec, time_limit_s=12.0)
    yield made
    made.close()


def test_demonstrations_are_the_plans_and_repeat(arena):
    first, again = arena.demonstrate(2), arena.demonstrate(2)
    assert [e.facts for e in first] == [arena.plan.demonstration(i) for i in range(2)]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.actions, other.actions)


def test_poses_are_tried_as_the_evaluation_tries_them(arena):
    tried = arena.try_out(POLICY, "evaluation", 1)
    found = evaluate(POLICY, EvaluationConfig(episodes=1, seed=2)).trials
    assert [r.duration_s for r in tried] == [t.duration_s for t in found]
    assert not tried[0].is_success


def test_a_rollout_is_played_at_its_speed(arena):
    slow = arena.roll_out(POLICY, arena.plan.rollout(0, 0))
    fast = arena.roll_out(POLICY, arena.plan.rollout(0, 0, speed=1.5))
    assert fast.facts.speed == 1.5
    same = min(len(slow), len(fast), 6)
    assert np.abs(fast.actions[1:same] - slow.actions[1:same]).max() > 1e-3
    with pytest.raises(ConfigError, match="playback speed"):
        arena.roll_out(POLICY, arena.plan.rollout(0, 0, speed=2.5))
