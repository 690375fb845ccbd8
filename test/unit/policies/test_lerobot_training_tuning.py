"""What trains of a LeRobot policy: counts, precision, adapters, copies that share the frozen."""

from importlib.util import find_spec

import pytest
import torch
from lerobot_batches import (
    NEEDS,
    make_inputs,
    make_noise,
    own_policy,
    shared_policy,
    whole,
)

from so101.data.exchange.lerobot_format import HOW_TO_INSTALL
from so101.errors import CheckpointError, ConfigError
from so101.policies.lerobot.losses import row_losses
from so101.policies.lerobot.tuning import (
    apply_tuning,
    computing,
    count,
    drop_unused_heads,
    has_expert,
    load_tensors,
    merge_adapters,
    share_frozen,
    trained,
)
from so101.policies.tuning import Tuning

pytestmark = [
    pytest.mark.skipif(
        any(find_spec(name) is None for name in NEEDS),
        reason=f"LeRobot and its policies are not installed: {HOW_TO_INSTALL}",
    ),
    pytest.mark.timeout(300),  # the first test imports LeRobot, long on a busy machine
]
VLAS = ("smolvla", "pi0", "pi05")
LORA = Tuning(mode="lora", rank=4, alpha=4.0)


def tuned(kind, tuning=LORA, **changes):
    policy = own_policy(kind, **changes)
    apply_tuning(policy, tuning)
    return policy


def loss_of(policy, tuning=LORA):
    noise, time = make_noise(policy)
    with computing(policy, tuning):
        batch = make_inputs(policy.name)
        return row_losses(policy, batch, whole(), noise=noise, time=time).mean()


def chunk_of(policy):
    batch = make_inputs(policy.name)
    del batch["action"]
    return policy.predict_action_chunk(batch, noise=make_noise(policy)[0]).float()


def move(policy, *, seed=0):
    """Change every trained weight."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in trained(policy).values():
            one += 0.02 * torch.randn(one.shape, generator=generator)


def by_hand(policy, *parts):
    found = {n: p for n, p in policy.named_parameters() if any(part in n for part in parts)}
    return count(found)


PROJECTIONS = {
    "smolvla": ("state_proj", "action_in", "action_out", "action_time", "lm_expert"),
    "pi0": ("state_proj", "action_in", "action_out", "action_time", "gemma_expert.model"),
    "pi05": ("action_in", "action_out", "time_mlp", "gemma_expert.model"),
}


@pytest.mark.parametrize("kind", VLAS)
def test_the_expert_is_what_acts_and_the_projections_around_it(kind):
    policy = tuned(kind, Tuning(mode="expert"))
    assert count(trained(policy)) == by_hand(policy, *PROJECTIONS[kind]) > 40_000
    assert not any("vision" in name or "paligemma.model" in name for name in trained(policy))


def test_adapters_are_two_thin_matrices_beside_each_chosen_layer():
    policy = tuned("pi0")
    plain = dict(shared_policy("pi0").named_modules())
    layers = [name.removesuffix(".lora_A.default.weight") for name in trained(policy)]
    layers = [name for name in layers if name in plain]
    sizes = [plain[name].in_features + plain[name].out_features for name in layers]
    # LeRobot's choice: q and v of each of the expert's two layers, and five projections
    assert len(layers) == 2 * 2 + 5
    assert count(trained(policy)) == 4 * sum(sizes) == 3744


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in VLAS for mode in ("full", "expert", "lora")]
    + [("act", "full"), ("diffusion", "full"), ("pi0_fast", "full"), ("pi0_fast", "lora")],
)
def test_all_that_trains_gets_a_gradient_and_nothing_else_does(kind, mode):
    policy = tuned(kind, Tuning(mode=mode))
    if mode == "lora":
        move(policy)  # a new adapter's first matrix has none: the second is zero
    loss_of(policy).backward()
    found = {n for n, p in policy.named_parameters() if p.grad is not None and p.grad.any()}
    assert found == set(trained(policy))


@pytest.mark.parametrize("kind", VLAS)
def test_full_leaves_out_only_what_no_action_depends_on(kind):
    policy = tuned(kind, Tuning(mode="full"))
    frozen = [one for one in policy.parameters() if not one.requires_grad]
    before = loss_of(policy)
    with torch.no_grad():
        for one in frozen:
            one += 1.0
    assert frozen and torch.equal(loss_of(policy), before)


@pytest.mark.parametrize("kind", VLAS)
def test_new_adapters_change_nothing_and_follow_from_their_seed(kind):
    plain, policy, twin, other = shared_policy(kind), *(own_policy(kind) for _ in range(3))
    torch.manual_seed(7)
    state = torch.get_rng_state()
    for one, seed in ((policy, 1), (twin, 1), (other, 2)):
        apply_tuning(one, LORA, seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(chunk_of(policy), chunk_of(plain))
    same = [
        torch.equal(a, b)
        for a, b in zip(trained(policy).values(), trained(twin).values(), strict=True)
    ]
    assert all(same)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(trained(policy).values(), trained(other).values(), strict=True)
    )


@pytest.mark.parametrize("kind", VLAS)
def test_merged_adapters_give_the_same_chunks_without_being_there(kind):
    policy = tuned(kind)
    move(policy)
    acting = share_frozen(policy)
    want = chunk_of(policy)
    assert not torch.equal(want, chunk_of(shared_policy(kind)))
    number = merge_adapters(acting)
    assert number == len(trained(policy)) // 2
    assert not any("lora" in name for name in acting.state_dict())
    assert set(acting.state_dict()) == set(shared_policy(kind).state_dict())
    torch.testing.assert_close(chunk_of(acting), want, rtol=1e-4, atol=1e-5)
    assert torch.equal(chunk_of(policy), want)  # what they shared was not touched


def test_adapters_are_saved_and_loaded_by_name():
    policy, fresh = tuned("pi0"), tuned("pi0")
    move(policy)
    adapters = {name: one.detach().clone() for name, one in trained(policy).items()}
    load_tensors(fresh, adapters, "adapters")
    assert torch.equal(chunk_of(fresh), chunk_of(policy))
    name = next(iter(adapters))
    before = chunk_of(fresh)
    for wrong, message in (
        ({"nobody": adapters[name]}, "unknown tensors: nobody"),
        ({name: adapters[name][:1]}, f"{name} is torch.float32 of shape"),
        ({name: adapters[name].half()}, f"{name} is torch.float16"),
        ({**adapters, name: adapters[name] * torch.nan}, "not finite"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_tensors(fresh, wrong, "adapters")
    assert torch.equal(chunk_of(fresh), before)


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_heads_that_nobody_asks_go_and_no_chunk_changes(kind):
    policy = own_policy(kind)
    parts = policy.model.paligemma_with_expert
    width = parts.gemma_expert.lm_head.in_features
    vocabulary, expert = (
        part.lm_head.out_features for part in (parts.paligemma, parts.gemma_expert)
    )
    total = count(dict(policy.named_parameters()))
    dropped = drop_unused_heads(policy)
    assert dropped == width * (vocabulary + expert)
    assert count(dict(policy.named_parameters())) == total - dropped
    assert torch.equal(chunk_of(policy), chunk_of(shared_policy(kind)))
    assert torch.equal(loss_of(policy), loss_of(shared_policy(kind)))
    assert drop_unused_heads(policy) == 0


def test_the_head_that_speaks_stays():
    with pytest.raises(ConfigError, match="pi0_fast: has no unused"):
        drop_unused_heads(shared_policy("pi0_fast"))


@pytest.mark.parametrize("mode", ["expert", "lora"])
@pytest.mark.parametrize("kind", VLAS)
def test_a_copy_shares_what_is_frozen_and_nothing_else(kind, mode):
    policy = tuned(kind, Tuning(mode=mode, rank=4))
    acting = share_frozen(policy)
    names = set(trained(policy))
    for (name, one), (_, twin) in zip(
        policy.named_parameters(), acting.named_parameters(), strict=True
    ):
        assert (one.data_ptr() == twin.data_ptr()) == (name not in names)
    want = chunk_of(acting)
    move(policy)
    policy.train()
    assert torch.equal(chunk_of(acting), want)
    assert not torch.equal(chunk_of(policy), want)
    assert not acting.training


@pytest.mark.parametrize("mode", ["full", "expert", "lora"])
@pytest.mark.parametrize("kind", VLAS)
def test_bfloat16_is_for_the_frozen_and_for_computing(kind, mode):
    exact = tuned(kind, Tuning(mode=mode))
    tuning = Tuning(mode=mode, precision="bfloat16")
    policy = tuned(kind, tuning)
    assert {one.dtype for one in trained(policy).values()} == {torch.float32}
    if mode != "full":
        frozen = [p for p in policy.parameters() if not p.requires_grad and p.ndim > 1]
        assert {one.dtype for one in frozen} == {torch.bfloat16}
    loss = loss_of(policy, tuning)
    loss.backward()
    assert all(torch.isfinite(one.grad).all() for one in trained(policy).values())
    torch.testing.assert_close(loss, loss_of(exact), rtol=0.02, atol=0.0)


def test_a_small_step_is_not_lost_in_the_rounding_of_bfloat16():
    tuning = Tuning(mode="expert", precision="bfloat16")
    policy = own_policy("pi0")
    policy.model.paligemma_with_expert.to_bfloat16_for_selected_params("bfloat16")
    apply_tuning(policy, tuning)
    before = {name: one.detach().clone() for name, one in trained(policy).items()}
    optimizer = torch.optim.AdamW(trained(policy).values(), lr=1e-5)
    loss_of(policy, tuning).backward()
    optimizer.step()
    moved = [(one - before[name]).abs().max() for name, one in trained(policy).items()]
    assert all(0 < one < 3e-5 for one in moved)


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("pi0", "model.paligemma_with_expert.gemma_expert.model.layers.0.mlp"),
        ("pi05", "model.paligemma_with_expert.gemma_expert.model.layers.0.mlp"),
        ("diffusion", "diffusion.unet.mid_modules.0"),
    ],
)
def test_checkpointing_computes_activations_again_and_the_same_gradients(kind, layer):
    plain = tuned(kind, Tuning(mode="full"))
    policy = tuned(kind, Tuning(mode="full", checkpoint_gradients=True))
    passes = []
    for one in (plain, policy):
        one.eval()  # as inference leaves it: checkpointing would be off
        seen = []
        one.get_submodule(layer).register_forward_pre_hook(lambda *_, seen=seen: seen.append(0))
        loss_of(one).backward()
        passes.append(len(seen))
    assert passes[0] == 1 and passes[1] > 1
    for first, second in zip(trained(plain).values(), trained(policy).values(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, rtol=1e-4, atol=1e-6)


def test_what_a_policy_does_not_have_is_refused():
    assert has_expert("pi0") and not has_expert("act")
    for kind, tuning, message in (
        ("act", Tuning(mode="expert"), "act: has no action expert"),
        ("act", LORA, "act: LeRobot names no layers for adapters"),
        ("pi0", Tuning(mode="lora", targets="nothing"), "pi0: lora: "),
        ("smolvla", Tuning(checkpoint_gradients=True), "smolvla: LeRobot has no gradient"),
    ):
        with pytest.raises(ConfigError, match=message):
            tuned(kind, tuning)


def test_what_is_left_open_is_found_in_the_policy():
    open_tuning = Tuning()
    for kind, mode in (("pi0", "expert"), ("act", "full")):
        found = apply_tuning(own_policy(kind), open_tuning)
        assert (found.mode, found.precision) == (mode, "float32")
    policy = own_policy("pi0")
    policy.model.paligemma_with_expert.to_bfloat16_for_selected_params("bfloat16")
    assert apply_tuning(policy, open_tuning).precision == "bfloat16"


@pytest.mark.parametrize("mode", ["expert", "lora"])
def test_tuning_again_keeps_what_adapters_had_learned(mode):
    policy = tuned("pi0")
    move(policy)
    want = chunk_of(policy)
    apply_tuning(policy, Tuning(mode=mode, rank=2))
    assert all(one.shape[0] == 2 for name, one in trained(policy).items() if "lora_A" in name)
    assert any("lora" in name for name in policy.state_dict()) == (mode == "lora")
    torch.testing.assert_close(chunk_of(policy), want, rtol=1e-4, atol=1e-5)
