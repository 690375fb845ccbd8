"""Small policies, observations and batches."""

import numpy as np
import pytest
import torch
from contracts.policy_factories import make_batch, make_observation, make_policy

torch.set_num_threads(1)


@pytest.fixture
def observation():
    return make_observation()


@pytest.fixture
def batch():
    return make_batch(np.random.default_rng(1))


@pytest.fixture
def policy():
    return make_policy()
