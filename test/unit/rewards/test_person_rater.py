"""Nobody but a person judges what happens on a real robot."""

import math

import numpy as np

from so101.observation import Observation
from so101.rewards.person_rater import PersonRater


def test_nothing_that_is_seen_ends_an_episode_or_earns_a_reward():
    rater, rng = PersonRater(), np.random.default_rng(0)
    rater.reset()
    for stamp_ns in range(50):
        columns = {name: rng.normal(size=6) for name in ("positions", "velocities", "command")}
        seen = Observation(stamp_ns=stamp_ns, effort=np.zeros(6), **columns)
        verdict = rater.update(seen)
        assert not (verdict.is_success or verdict.is_failure or verdict.reward)
        assert math.isnan(verdict.probability)
