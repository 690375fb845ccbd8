"""Row losses of LeRobot's policies: equal to its own where that is right, fit for weighting."""

import math
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lerobot_batches import (
    JOINTS,
    NEEDS,
    ROWS,
    cut,
    make_inputs,
    make_noise,
    shared_policy,
    whole,
)

from so101.data.exchange.lerobot_format import HOW_TO_INSTALL
from so101.errors import ConfigError
from so101.policies.lerobot.losses import (
    diffusion_steps,
    fill_padding,
    flow_times,
    row_losses,
)

pytestmark = [
    pytest.mark.skipif(
        any(find_spec(name) is None for name in NEEDS),
        reason=f"LeRobot and its policies are not installed: {HOW_TO_INSTALL}",
    ),
    pytest.mark.timeout(300),  # the first test imports LeRobot, long on a busy machine
]
FLOWS = ("smolvla", "pi0", "pi05")
WITH_NOISE = (*FLOWS, "diffusion")
TRAINABLE = ("act", *WITH_NOISE, "pi0_fast")


def losses_of(policy, kind, **changes):
    noise, time = make_noise(policy)
    values = {"batch": make_inputs(kind), "mask": whole(), "noise": noise, "time": time, **changes}
    batch, mask = values.pop("batch"), values.pop("mask")
    return row_losses(policy, batch, mask, **values)


def lerobots_own(policy, kind, monkeypatch, batch, noise, time):
    """Return LeRobot's own mean loss at the same noise and time."""
    if kind == "smolvla":
        return policy.forward(batch, noise=noise, time=flow_times(policy, time))[0]
    if kind in FLOWS:
        monkeypatch.setattr(policy.model, "sample_noise", lambda *_: noise)
        monkeypatch.setattr(policy.model, "sample_time", lambda *_: flow_times(policy, time))
    if kind == "diffusion":
        monkeypatch.setattr(torch, "randn", lambda *_, **__: noise)
        monkeypatch.setattr(torch, "randint", lambda **_: diffusion_steps(policy, time))
    policy.train()
    return policy.forward({**batch, "action_is_pad": ~whole()})[0]


@pytest.mark.parametrize("kind", WITH_NOISE)
def test_without_padding_it_is_what_lerobot_trains_on(monkeypatch, kind):
    changes = {"use_group_norm": True} if kind == "diffusion" else {}
    policy, batch = shared_policy(kind, **changes), make_inputs(kind)
    noise, time = make_noise(policy)
    ours = row_losses(policy, batch, whole(), noise=noise, time=time)
    theirs = lerobots_own(policy, kind, monkeypatch, batch, noise, time)
    assert ours.shape == (ROWS,)
    torch.testing.assert_close(ours.mean(), theirs, rtol=1e-5, atol=1e-6)


def test_act_is_what_lerobot_trains_on_latent_and_divergence_included(monkeypatch):
    policy, batch = shared_policy("act"), make_inputs("act")
    monkeypatch.setattr(torch, "randn_like", lambda like: torch.full_like(like, 0.3))
    ours = row_losses(policy, batch, whole())
    theirs, parts = policy.forward({**batch, "action_is_pad": ~whole()})
    assert parts["kld_loss"] > 0.0
    torch.testing.assert_close(ours.mean(), theirs)


def test_tokens_count_alike_within_a_row_as_in_lerobots_mean_over_the_batch():
    policy, batch = shared_policy("pi0_fast"), make_inputs("pi0_fast")
    ours = row_losses(policy, batch, whole())
    counts = batch["action.token_mask"][:, 1:].sum(dim=1)
    theirs = policy.forward(batch)[0]
    torch.testing.assert_close((ours * counts).sum() / counts.sum(), theirs)
    assert len(set(counts.tolist())) == ROWS


def test_smolvla_masks_padding_as_lerobot_does():
    policy, batch, mask = shared_policy("smolvla"), make_inputs("smolvla"), cut(16, 5, 1)
    batch["action"] = fill_padding(batch["action"], mask)
    noise, time = make_noise(policy)
    ours = row_losses(policy, batch, mask, noise=noise, time=time)
    theirs, _ = policy.forward(
        {**batch, "action_is_pad": ~mask}, noise=noise, time=flow_times(policy, time),
        reduction="none",
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", ["act", *WITH_NOISE])
@pytest.mark.parametrize("content", [math.nan, 1e6])
def test_what_the_padding_holds_does_not_matter(kind, content):
    policy, batch, mask = shared_policy(kind), make_inputs(kind), cut(16, 7, 1)
    want = losses_of(policy, kind, batch=batch, mask=mask)
    spoiled = {**batch, "action": torch.where(mask[..., None], batch["action"], content)}
    assert torch.equal(losses_of(policy, kind, batch=spoiled, mask=mask), want)
    assert torch.isfinite(want).all()


@pytest.mark.parametrize("kind", ["act", *WITH_NOISE])
def test_a_padded_entry_is_not_trained_on(kind):
    policy, batch = shared_policy(kind), make_inputs(kind)
    batch["action"][1, 7:] = batch["action"][1, 6:7]  # as it is filled: only the mask differs
    long, short = (losses_of(policy, kind, batch=batch, mask=cut(16, n, 16)) for n in (16, 7))
    assert long[1] != short[1]
    torch.testing.assert_close(long[[0, 2]], short[[0, 2]])


@pytest.mark.parametrize("kind", FLOWS)
def test_columns_beyond_the_joints_do_not_count(kind):
    policy = shared_policy(kind)
    noise, _ = make_noise(policy)
    with torch.no_grad():
        before = losses_of(policy, kind)
        bias = policy.model.action_out_proj.bias
        kept = bias[JOINTS:].clone()
        bias[JOINTS:] += 100.0
        after = losses_of(policy, kind)
        bias[JOINTS:] = kept
    assert noise.shape[-1] > JOINTS and torch.equal(before, after)


def gradient(policy, losses):
    vision = ("backbone", "rgb_encoder")  # ResNets take a second each and show nothing new
    parameters = [
        one
        for name, one in policy.named_parameters()
        if one.requires_grad and not any(part in name for part in vision)
    ]
    found = torch.autograd.grad(losses, parameters, allow_unused=True, retain_graph=True)
    return torch.cat([one.flatten() for one in found if one is not None])


@pytest.mark.parametrize("kind", TRAINABLE)
def test_weights_act_on_gradients_row_by_row_negative_ones_too(kind):
    policy = shared_policy(kind)
    weights = torch.tensor([1.5, -0.5, 0.25])
    losses = losses_of(policy, kind, mask=cut(16, 6, 2))
    whole_gradient = gradient(policy, (losses * weights).mean())
    parts = [gradient(policy, loss) * weight for loss, weight in zip(losses, weights, strict=True)]
    want = sum(parts) / ROWS
    assert torch.isfinite(whole_gradient).all() and whole_gradient.abs().max() > 0
    torch.testing.assert_close(whole_gradient, want, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [*WITH_NOISE, "pi0_fast"])
def test_a_row_does_not_see_the_others(kind):
    policy, batch = shared_policy(kind), make_inputs(kind)
    together = losses_of(policy, kind, batch=batch)
    noise, time = make_noise(policy)
    alone = row_losses(
        policy, {key: value[1:2] for key, value in batch.items()}, whole(1),
        noise=noise[1:2], time=time[1:2],
    )  # fmt: skip
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", TRAINABLE)
def test_the_same_noise_gives_the_same_bits_and_leaves_chance_alone(kind):
    policy = shared_policy(kind)
    torch.manual_seed(3)
    first = losses_of(policy, kind)
    drawn = torch.rand(1)
    second = losses_of(policy, kind)
    torch.manual_seed(3)
    assert torch.equal(first, second) and torch.equal(drawn, torch.rand(1))
    other = make_noise(policy, seed=9)[0]
    if kind != "pi0_fast":
        assert not torch.equal(losses_of(policy, kind, noise=other), first)


@pytest.mark.parametrize("kind", WITH_NOISE)
def test_several_draws_are_the_mean_of_single_ones(kind):
    policy = shared_policy(kind)
    noise, time = make_noise(policy, draws=2)
    both = losses_of(policy, kind, noise=noise, time=time)
    singles = [losses_of(policy, kind, noise=noise[:, i], time=time[:, i]) for i in (0, 1)]
    torch.testing.assert_close(both, torch.stack(singles).mean(dim=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", TRAINABLE)
def test_without_noise_it_is_drawn(kind):
    found = losses_of(shared_policy(kind), kind, noise=None, time=None)
    assert found.shape == (ROWS,) and torch.isfinite(found).all()


def test_after_inference_the_loss_is_that_of_training_again():
    policy, batch = shared_policy("act"), make_inputs("act")
    before = losses_of(policy, "act", batch=batch)
    policy.predict_action_chunk({key: batch[key] for key in batch if key != "action"})
    assert not policy.training
    assert torch.equal(losses_of(policy, "act", batch=batch), before)


def test_flow_times_have_lerobots_distribution():
    uniform = (torch.arange(20000) + 0.5) / 20000
    for kind in FLOWS:
        times = flow_times(shared_policy(kind), uniform)
        torch.manual_seed(0)
        theirs = shared_policy(kind).model.sample_time(20000, "cpu")
        for share in (0.05, 0.25, 0.5, 0.75, 0.95):
            assert abs(times.quantile(share) - theirs.quantile(share)) < 0.015
        assert flow_times(shared_policy(kind), torch.zeros(1)) == 1.0  # pure noise in both
        assert 0.001 < times.min() < 0.01


def test_another_distribution_of_times_is_refused(monkeypatch):
    policy = shared_policy("pi0")
    monkeypatch.setattr(policy.config, "time_sampling_beta_beta", 2.0)
    with pytest.raises(ConfigError, match="pi0: time_sampling_beta_beta is 2"):
        flow_times(policy, torch.rand(2))


def test_every_diffusion_step_is_as_likely():
    policy = shared_policy("diffusion")
    count = policy.config.num_train_timesteps
    steps = diffusion_steps(policy, (torch.arange(10 * count) + 0.5) / (10 * count))
    assert torch.equal(steps.bincount(), torch.full((count,), 10))
    assert steps[0] == count - 1 and steps[-1] == 0
    assert diffusion_steps(policy, torch.zeros(1)) == count - 1


def test_batch_normalisation_keeps_its_statistics():
    policy = shared_policy("diffusion")
    before = {name: value.clone() for name, value in policy.named_buffers()}
    losses_of(policy, "diffusion")
    assert policy.training and any("running_mean" in name for name in before)
    assert all(torch.equal(value, before[name]) for name, value in policy.named_buffers())


def test_a_policy_without_a_loss_here_is_refused():
    class Unknown:
        name = "groot"

    with pytest.raises(ConfigError, match="groot: cannot be trained; act, diffusion, smolvla"):
        row_losses(Unknown(), {"action": torch.zeros(1, 2, 6)}, torch.ones(1, 2, dtype=bool))


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any), st.integers(0, 99))
def test_padding_is_filled_from_the_nearest_real_action_before(real, seed):
    mask = torch.tensor([real])
    actions = torch.randn(1, len(real), 2, generator=torch.Generator().manual_seed(seed))
    filled = fill_padding(torch.where(mask[..., None], actions, math.nan), mask)
    known = np.flatnonzero(real)
    for i in range(len(real)):
        source = known[known <= i][-1] if (known <= i).any() else known[0]
        assert torch.equal(filled[0, i], actions[0, source])
