"""Imitation losses of LeRobot's policies, one number per row, so that rows can be weighted.

LeRobot trains on the mean over a batch. A policy gradient weighs each row, with either sign, and
must not learn from what lies behind an episode's end. What LeRobot does there differs: SmolVLA and
ACT mask it, Diffusion does when asked, pi0 and pi0.5 do not. Here it never counts, and what the
padding holds does not matter: it is replaced by the last real action before a network sees it.

    flow (SmolVLA, pi0, pi0.5)   || v(x_s, s) - (z - a) ||^2   with x_s = s z + (1 - s) a
    diffusion                    || e(x_k, k) - z ||^2, or the clean chunk as the target
    ACT                          | a_hat - a | + kl_weight * KL(latent || N(0, 1))
    pi0-FAST                     cross entropy of the chunk's tokens

each the mean over a row's real entries and real joints. Flow: Lipman et al. 2023
(arXiv:2210.02747) in the convention of pi0 (arXiv:2410.24164); ACT: arXiv:2304.13705; Diffusion
Policy: arXiv:2303.04137; FAST: arXiv:2501.09747.

The learner's ``time`` is uniform in [0, 1): 0 is pure noise, 1 the clean chunk. `flow_times` and
`diffusion_steps` say what that is in LeRobot's terms. LeRobot itself is not imported here.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from so101.errors import ConfigError

ACTION = "action"
PADDING = "action_is_pad"
STATE = "observation.state"
IMAGES = "observation.images"
TOKENS = "observation.language.tokens"
TOKEN_MASK = "observation.language.attention_mask"
ACTION_TOKENS = "action.tokens"
ACTION_TOKEN_MASK = "action.token_mask"

_SMOLVLA_TIMES = (1.5, 1.0, 0.999, 0.001)
"""alpha, beta, scale and offset in SmolVLA's code; pi0 and pi0.5 have them in their config."""

Batch = dict[str, Any]
Loss = Callable[[Any, Batch, Tensor, Tensor | None, Tensor | None], Tensor]


def row_losses(
    policy: Any,
    batch: Mapping[str, Any],
    mask: Tensor,
    *,
    noise: Tensor | None = None,
    time: Tensor | None = None,
) -> Tensor:
    """Return the imitation loss of each row. Shape (batch,).

    The policy is put into training mode: inference leaves it in evaluation mode, in which ACT has
    no latent and gradient checkpointing is silently off. Batch normalisation alone keeps the
    statistics of its checkpoint: with the batch's own a row's loss would depend on the other rows.
    Given ``noise`` everything random follows from it, dropout and ACT's latent included: the same
    arguments give the same bits.

    Args:
        policy: A LeRobot ``PreTrainedPolicy``.
        batch: What its processor made of observations and actions, in its normalised space.
            Actions have shape (batch, horizon, joints).
        mask: True where an action is real, at least once per row. Shape (batch, horizon).
        noise: Standard normal. Flow policies: (batch, horizon, max_action_dim), diffusion: (batch,
            horizon, joints), each with or without a second axis of draws. ACT and pi0-FAST: any
            shape, it decides only what is random. None draws it.
        time: Uniform in [0, 1), shape (batch,) or (batch, draws). None draws it.

    Raises:
        ConfigError: Such a policy cannot be trained here.
    """
    if policy.name not in _LOSSES:
        raise ConfigError(f"{policy.name}: cannot be trained; {', '.join(_LOSSES)} can")
    _train_mode(policy)
    actions = fill_padding(batch[ACTION], mask)
    filled = {**batch, ACTION: actions, PADDING: ~mask}
    with _repeatable(noise, actions.device):
        return _LOSSES[policy.name](policy, filled, mask, noise, time)


def flow_times(policy: Any, time: Tensor) -> Tensor:
    """Return LeRobot's flow times s for uniform ones u: 1 is noise, close to 0 the clean chunk.

    LeRobot draws ``s = offset + scale * b``, ``b ~ Beta(alpha, 1)``: more often near the noise.
    The distribution function of b is ``b^alpha``, so ``b = (1 - u)^(1 / alpha)`` has it, and u = 0
    stays the pure noise.

    Raises:
        ConfigError: The policy's second parameter of the Beta distribution is not 1.
    """
    config = policy.config
    alpha, beta, scale, offset = _SMOLVLA_TIMES
    if hasattr(config, "time_sampling_beta_alpha"):
        alpha, beta = config.time_sampling_beta_alpha, config.time_sampling_beta_beta
        scale, offset = config.time_sampling_scale, config.time_sampling_offset
    if beta != 1.0:
        raise ConfigError(f"{policy.name}: time_sampling_beta_beta is {beta:g}, only 1 is known")
    times: Tensor = offset + scale * (1.0 - time) ** (1.0 / alpha)
    return times


def diffusion_steps(policy: Any, time: Tensor) -> Tensor:
    """Return the noise schedule's steps for uniform times: each equally often, 0 the noisiest."""
    count = policy.diffusion.noise_scheduler.config.num_train_timesteps
    steps: Tensor = ((1.0 - time) * count).ceil().long().clamp(1, count) - 1
    return steps


def fill_padding(actions: Tensor, mask: Tensor) -> Tensor:
    """Replace padded actions by the last real one, those before the first by the first.

    Args:
        actions: Shape (batch, horizon, joints); what the padding holds does not matter.
        mask: True where an action is real. Shape (batch, horizon).
    """
    index = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    last = torch.where(mask, index, -1).cummax(dim=1).values
    first = mask.float().argmax(dim=1, keepdim=True)
    chosen = torch.where(last < 0, first, last)
    return actions.gather(1, chosen[..., None].expand_as(actions))


def _train_mode(policy: Any) -> None:
    policy.train()
    for module in policy.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()


@contextmanager
def _repeatable(noise: Tensor | None, device: torch.device) -> Iterator[None]:
    """Let everything random follow from the noise; without it, from chance."""
    if noise is None:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(zlib.crc32(noise.detach().cpu().contiguous().numpy().tobytes()))
        yield


def _masked_mean(errors: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over real entries and all joints. (rows, horizon, joints) to (rows,)."""
    weights = mask.to(errors.dtype)
    return (errors.mean(dim=-1) * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0)


def _draws(
    shape: tuple[int, ...], noise: Tensor | None, time: Tensor | None, device: torch.device
) -> tuple[Tensor, Tensor, int]:
    """Return noise (rows * draws, ...), uniform time (rows * draws,) and the draws per row."""
    if noise is None:
        noise = torch.randn(shape)
    noise = noise.to(device).reshape(shape[0], -1, *shape[1:])
    draws = noise.shape[1]
    if time is None:
        time = torch.rand(shape[0], draws)
    time = time.to(device).reshape(shape[0], draws)
    return noise.flatten(0, 1), time.flatten(), draws


def _repeat(value: Any, draws: int) -> Any:
    """Repeat each row of a tensor, or of each tensor of a list, for its draws."""
    if draws == 1:
        return value
    if isinstance(value, Tensor):
        return value.repeat_interleave(draws, dim=0)
    return [_repeat(item, draws) for item in value]


def _act(
    policy: Any, batch: Batch, mask: Tensor, noise: Tensor | None, time: Tensor | None
) -> Tensor:
    config = policy.config
    if config.image_features:
        batch[IMAGES] = [batch[key] for key in config.image_features]
    predicted, (mean, log_variance) = policy.model(batch)
    losses = _masked_mean((predicted - batch[ACTION]).abs(), mask)
    if config.use_vae:
        divergence = mean.square() + log_variance.exp() - log_variance - 1.0
        losses = losses + config.kl_weight * 0.5 * divergence.sum(dim=-1)
    return losses


def _diffusion(
    policy: Any, batch: Batch, mask: Tensor, noise: Tensor | None, time: Tensor | None
) -> Tensor:
    model, clean = policy.diffusion, batch[ACTION]
    noise, time, draws = _draws(tuple(clean.shape), noise, time, clean.device)
    steps = diffusion_steps(policy, time)
    # the observation is encoded once for all draws
    condition = _repeat(model._prepare_global_conditioning(_with_history(policy, batch)), draws)
    clean, mask = _repeat(clean, draws), _repeat(mask, draws)
    noisy = model.noise_scheduler.add_noise(clean, noise, steps)
    predicted = model.unet(noisy, steps, global_cond=condition)
    target = noise if policy.config.prediction_type == "epsilon" else clean
    losses = _masked_mean((predicted - target).square(), mask)
    return losses.reshape(-1, draws).mean(dim=1)


def _with_history(policy: Any, batch: Batch) -> Batch:
    """Return states and images with an axis of observation steps, images stacked by camera."""
    state = batch[STATE]
    batch[STATE] = state[:, None] if state.ndim == 2 else state
    if policy.config.image_features:
        images = [batch[key] for key in policy.config.image_features]
        images = [image[:, None] if image.ndim == 4 else image for image in images]
        batch[IMAGES] = torch.stack(images, dim=-4)
    return batch


def _smolvla_inputs(policy: Any, batch: Batch) -> tuple[Any, ...]:
    images, masks = policy.prepare_images(batch)
    return images, masks, batch[TOKENS], batch[TOKEN_MASK], policy.prepare_state(batch)


def _pi0_inputs(policy: Any, batch: Batch) -> tuple[Any, ...]:
    images, masks = policy._preprocess_images(batch)
    return images, masks, batch[TOKENS], batch[TOKEN_MASK], policy.prepare_state(batch)


def _pi05_inputs(policy: Any, batch: Batch) -> tuple[Any, ...]:
    images, masks = policy._preprocess_images(batch)
    return images, masks, batch[TOKENS], batch[TOKEN_MASK]  # the state is among the tokens


def _flow(inputs: Callable[[Any, Batch], tuple[Any, ...]]) -> Loss:
    """Return the loss of a flow policy whose network takes these inputs."""

    def losses(
        policy: Any, batch: Batch, mask: Tensor, noise: Tensor | None, time: Tensor | None
    ) -> Tensor:
        joints = batch[ACTION].shape[-1]
        actions = policy.prepare_action(batch)  # as many columns as the network has
        noise, time, draws = _draws(tuple(actions.shape), noise, time, actions.device)
        seen = [_repeat(item, draws) for item in inputs(policy, batch)]
        moments = flow_times(policy, time)
        errors = policy.model.forward(*seen, _repeat(actions, draws), noise, moments)
        found = _masked_mean(errors[..., :joints], _repeat(mask, draws))
        return found.reshape(-1, draws).mean(dim=1)

    return losses


def _pi0_fast(
    policy: Any, batch: Batch, mask: Tensor, noise: Tensor | None, time: Tensor | None
) -> Tensor:
    """Return the cross entropy of each row's tokens.

    A token stands for a frequency of the whole chunk: no token belongs to a padded action, and the
    action mask has no say. Chunks must be filled before they become tokens.
    """
    logits: list[Tensor] = []
    head = policy.model.paligemma_with_expert.paligemma.lm_head
    hook = head.register_forward_hook(lambda module, inputs, output: logits.append(output))
    try:
        policy.forward(batch)  # its own loss is the mean over the batch
    finally:
        hook.remove()
    # each position predicts the token after it
    targets, real = batch[ACTION_TOKENS][:, 1:], batch[ACTION_TOKEN_MASK][:, 1:]
    errors = torch.nn.functional.cross_entropy(
        logits[0][:, :-1].transpose(1, 2), targets, reduction="none"
    )
    return _masked_mean(errors[..., None], real)


_LOSSES: Mapping[str, Loss] = {
    "act": _act,
    "diffusion": _diffusion,
    "smolvla": _flow(_smolvla_inputs),
    "pi0": _flow(_pi0_inputs),
    "pi05": _flow(_pi05_inputs),
    "pi0_fast": _pi0_fast,
}
