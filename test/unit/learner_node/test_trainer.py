"""The loop repeats exactly, survives being stopped anywhere, and never trains on nonsense."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts.policy_factories import make_batch, make_policy
from hypothesis import given, settings
from hypothesis import strategies as st

from learner_node.algorithms.imitation import augmentation_rng
from learner_node.algorithms.sft import Sft, SftConfig
from learner_node.job import JobDirectory
from learner_node.trainer import End, Trainer, TrainerConfig, batch_rng
from so101.errors import TrainingError

STEPS = 40
CONFIG = SftConfig(steps=STEPS, batch_size=6, draws=2)
OFTEN = TrainerConfig(save_every=5, report_every=7)


class Source:
    """Random batches; those whose number is in ``bad`` hold infinite actions."""

    def __init__(self, bad=(), at_call=None):
        self.calls, self._bad, self._at_call = 0, set(bad), at_call or {}

    def chunks(self, rng, batch_size):
        self.calls += 1
        self._at_call.get(self.calls, lambda: None)()
        batch = make_batch(rng, rows=batch_size)
        if self.calls in self._bad:
            return replace(batch, actions=np.full_like(batch.actions, np.inf))
        return batch


def make_trainer(source=None, config=OFTEN):
    algorithm = Sft(make_policy(), CONFIG, seed=3)
    trainer = Trainer(algorithm, source or Source(), steps=STEPS, seed=3, config=config)
    return trainer, algorithm


def flat(algorithm):
    return torch.cat([item.detach().flatten() for item in algorithm.policy().parameters()])


@pytest.fixture(scope="module")
def straight():
    trainer, algorithm = make_trainer()
    assert trainer.run() is End.DONE
    return flat(algorithm), trainer.loss_curve


def test_a_run_repeats_to_the_bit(straight):
    trainer, algorithm = make_trainer()
    trainer.run()
    assert torch.equal(flat(algorithm), straight[0])


@settings(max_examples=8, deadline=None)
@given(stop=st.integers(0, STEPS - 1))
def test_stopping_and_going_on_changes_nothing(straight, stop):
    saved = {}
    first, _ = make_trainer()
    end = first.run(save=saved.update, should_stop=lambda: first.step >= stop)
    assert end is End.STOPPED
    second, algorithm = make_trainer()
    second.load_state_dict(saved)
    assert second.step == stop
    second.run()
    assert torch.equal(flat(algorithm), straight[0])
    assert second.loss_curve == straight[1]


def train_and_die(path):
    torch.set_num_threads(1)
    kill = {24: lambda: os.kill(os.getpid(), signal.SIGKILL)}
    trainer, _ = make_trainer(Source(at_call=kill))
    trainer.run(save=JobDirectory(path).save_state)


def test_a_killed_run_ends_with_the_same_weights(straight, tmp_path):
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'test'}"}
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], env=environment, timeout=90, check=False
    )
    assert done.returncode == -signal.SIGKILL
    trainer, algorithm = make_trainer()
    trainer.load_state_dict(JobDirectory(tmp_path).load_state())
    assert trainer.step == 20  # the last multiple of save_every before step 24
    trainer.run()
    assert torch.equal(flat(algorithm), straight[0])


def test_bad_steps_are_skipped_and_counted():
    trainer, algorithm = make_trainer(Source(bad={3, 4, 30}))
    reports = []
    assert trainer.run(report=reports.append) is End.DONE
    assert trainer.skipped == 3
    assert reports[-1].step == STEPS
    assert reports[-1].skipped == 3
    assert all(np.isfinite(item.loss) for item in reports)
    assert torch.isfinite(flat(algorithm)).all()


def test_too_many_bad_steps_in_a_row_end_training():
    trainer, _ = make_trainer(Source(bad=range(10, 99)), TrainerConfig(max_bad_steps=5))
    with pytest.raises(TrainingError, match="5 steps in a row"):
        trainer.run()
    assert trainer.step == 14


def test_progress_is_reported_in_order():
    trainer, _ = make_trainer()
    reports = []
    trainer.run(report=reports.append)
    assert [item.step for item in reports] == [7, 14, 21, 28, 35, 40]
    assert [(item.step, item.loss) for item in reports] == list(trainer.loss_curve)


def test_a_state_of_another_run_is_refused():
    first, _ = make_trainer()
    other = Trainer(Sft(make_policy(), CONFIG, seed=3), Source(), steps=STEPS, seed=4)
    with pytest.raises(TrainingError, match="seed 3"):
        other.load_state_dict(first.state_dict())
    with pytest.raises(TrainingError, match="missing"):
        other.load_state_dict({})


if __name__ == "__main__":
    train_and_die(Path(sys.argv[1]))


@pytest.mark.parametrize("seed", [0, 7])
def test_augmentation_tells_nothing_about_what_was_drawn(seed):
    """One stream for both once made image shifts a code of the episode, and cameras useless."""
    drawn = [batch_rng(seed, step).random(64) for step in range(50)]
    added = [augmentation_rng(seed, step).random(64) for step in range(50)]
    assert abs(np.corrcoef(np.ravel(drawn), np.ravel(added))[0, 1]) < 0.06
