"""What every algorithm must do. Subclass, give `make_algorithm` and `make_batch` fixtures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.policy_factories import make_spec
from factories import make_episode

from so101.data.training.dataset import EpisodeDataset
from so101.errors import TrainingError


def weights(policy):
    """Return a copy of a policy's weights."""
    return [item.detach().clone() for item in policy.parameters()]


def same(first, second):
    """Tell whether two lists of tensors are equal to the bit."""
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


class AlgorithmContract:
    """Laws of `learner_node.algorithms.algorithm.Algorithm`."""

    def test_it_says_what_it_needs(self, make_algorithm):
        algorithm = make_algorithm()
        assert algorithm.batch_kind in ("chunk", "transition", "sequence")
        assert algorithm.swap_rule in ("episode", "chunk")
        assert isinstance(algorithm.aux_topics, tuple)
        assert algorithm.batch_size >= 1

    def test_an_update_changes_the_weights_and_reports_a_loss(self, make_algorithm, make_batch):
        algorithm = make_algorithm()
        before = weights(algorithm.policy())
        metrics = algorithm.update(make_batch(0))
        assert np.isfinite(metrics.loss)
        assert not metrics.skipped
        assert not same(before, weights(algorithm.policy()))

    def test_the_acting_policy_is_a_copy(self, make_algorithm, make_batch):
        algorithm = make_algorithm()
        acting = algorithm.policy()
        before = weights(acting)
        algorithm.update(make_batch(0))
        assert same(before, weights(acting))

    def test_going_on_from_a_saved_state_is_exact(self, make_algorithm, make_batch):
        straight = make_algorithm()
        for i in range(4):
            straight.update(make_batch(i))
        first = make_algorithm()
        for i in range(2):
            first.update(make_batch(i))
        second = make_algorithm()
        second.load_state_dict(first.state_dict())
        for i in range(2, 4):
            second.update(make_batch(i))
        assert same(weights(straight.policy()), weights(second.policy()))

    def test_only_what_is_passed_in_decides(self, make_algorithm, make_batch):
        found = []
        for number in (1, 2):
            torch.manual_seed(number)
            np.random.seed(number)  # noqa: NPY002 - nobody may draw from it
            algorithm = make_algorithm()
            algorithm.update(make_batch(0))
            found.append(weights(algorithm.policy()))
        assert same(*found)

    def test_padding_and_rows_of_weight_zero_teach_nothing(self, make_algorithm, make_batch):
        """Actions behind the episode's end, and rows that count for nothing."""
        batch = make_batch(0)
        mask = batch.mask.copy()
        mask[0, 5:] = False
        weight = batch.weight.copy()
        weight[1] = 0.0
        found = []
        for number in (0.0, 0.3):
            actions = batch.actions.copy()
            actions[0, 5:] += number
            actions[1] += number
            algorithm = make_algorithm()
            algorithm.update(replace(batch, actions=actions, mask=mask, weight=weight))
            found.append(weights(algorithm.policy()))
        assert same(*found)

    def test_its_batches_follow_from_the_generator(self, make_algorithm):
        episodes = [make_episode(steps=30 + 10 * i, seed=i, episode=f"e{i}") for i in range(3)]
        source = make_algorithm().source(EpisodeDataset.from_episodes(episodes, make_spec()))
        drawn = [source.chunks(np.random.default_rng(7), 5) for _ in range(2)]
        assert [len(batch) for batch in drawn] == [5, 5]
        np.testing.assert_array_equal(drawn[0].actions, drawn[1].actions)
        np.testing.assert_array_equal(drawn[0].weight, drawn[1].weight)

    def test_the_state_is_tensors_only(self, make_algorithm, make_batch):
        algorithm = make_algorithm()
        algorithm.update(make_batch(0))
        assert all(isinstance(item, torch.Tensor) for item in algorithm.state_dict().values())

    def test_a_loss_that_is_not_finite_changes_nothing(self, make_algorithm, make_batch):
        algorithm = make_algorithm()
        algorithm.update(make_batch(0))
        before = weights(algorithm.policy())
        batch = make_batch(1)
        bad = replace(batch, actions=np.full_like(batch.actions, np.inf))
        assert algorithm.update(bad).skipped
        assert same(before, weights(algorithm.policy()))
        assert not algorithm.update(make_batch(2)).skipped

    def test_a_foreign_state_is_refused(self, make_algorithm):
        with pytest.raises(TrainingError):
            make_algorithm().load_state_dict({"step": torch.tensor(1)})
