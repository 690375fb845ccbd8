"""The canary lets good policies through and names what is wrong with bad ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.policy_factories import CAMERAS, make_observation, make_policy

from so101.errors import CheckpointError
from so101.policies.checkpoints.canary import CanaryConfig, canary_observations, check_canary
from so101.policies.hold_policy import HoldPolicy


class Shifted:
    """A policy whose chunks are moved by an offset [rad]."""

    def __init__(self, policy, offset):
        self._policy, self._offset = policy, offset
        self.spec, self.noise_shape = policy.spec, policy.noise_shape

    def infer(self, observation, **inputs):
        answer = self._policy.infer(observation, **inputs)
        moved = replace(answer.chunk, positions=answer.chunk.positions + self._offset)
        return replace(answer, chunk=moved)

    def reset(self):
        self._policy.reset()


@pytest.mark.parametrize("cameras", [(), CAMERAS])
def test_a_policy_is_not_far_from_itself(cameras):
    policy = make_policy(cameras=cameras)
    check_canary(policy, policy, CanaryConfig(max_change=0.01))


def test_observations_are_fixed():
    spec = make_policy(cameras=CAMERAS).spec
    first, second = (canary_observations(spec, CanaryConfig()) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.positions, other.positions)
        assert all(np.array_equal(one.images[c], other.images[c]) for c in CAMERAS)


def test_a_policy_with_a_broken_weight_is_refused():
    policy = make_policy()
    with torch.no_grad():
        next(iter(policy.parameters()))[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"sft/step_000001.*not finite"):
        check_canary(policy, where="sft/step_000001")


def test_a_policy_that_leaves_the_limits_is_refused_by_joint():
    offset = np.array([0.0, 0.0, 0.0, 4.0, 0.0, 0.0])
    with pytest.raises(CheckpointError, match="wrist_flex"):
        check_canary(Shifted(HoldPolicy(), offset))


def test_a_policy_must_give_out_the_arrays_that_are_recorded():
    policy = make_policy()
    check_canary(policy, arrays=("noise",))
    with pytest.raises(CheckpointError, match=r"no array 'chain' with its chunks; it has noise"):
        check_canary(policy, arrays=("noise", "chain"))


def test_a_jump_from_the_previous_policy_is_refused():
    calm = HoldPolicy()
    check_canary(Shifted(calm, 0.2), calm, CanaryConfig(max_change=0.3))
    with pytest.raises(CheckpointError, match=r"differs by 0\.40 rad"):
        check_canary(Shifted(calm, 0.4), calm, CanaryConfig(max_change=0.3, limit_margin=1.0))


def test_real_observations_can_take_the_place_of_the_fixed_ones():
    check_canary(make_policy(), observations=[make_observation()])
