"""One inference of a LeRobot policy, so that it is a pure function of its inputs and noise.

LeRobot's samplers take noise, but Diffusion's (with DDPM) and pi0-FAST's (at a temperature) draw
more while they run; that follows from the noise, too. LeRobot switches networks to evaluation mode
and leaves them so; here every module gets its mode back.
"""

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from so101.action import ChunkPrefix
from so101.arrays import Float32Array, FloatArray
from so101.data.exchange.lerobot_values import ACTION
from so101.errors import ObservationError
from so101.policies.lerobot.network import Parts

FLOWS = frozenset({"smolvla", "pi0", "pi05"})


def noise_shape(network: Any) -> tuple[int, ...]:
    """Return points and numbers per point of a network's noise; () without noise."""
    config = network.config
    if network.name == "diffusion":
        return int(config.horizon), int(config.action_feature.shape[0])
    if network.name in FLOWS:
        return int(config.chunk_size), int(config.max_action_dim)
    return (1,) if draws_more(network) else ()


def draws_more(network: Any) -> bool:
    """Tell whether a network draws random numbers of its own while it plans."""
    if network.name == "diffusion":
        return bool(network.config.noise_scheduler_type == "DDPM")
    return bool(network.name == "pi0_fast" and network.config.temperature > 0)


def checked_noise(noises: Float32Array | None, rows: int, shape: tuple[int, ...]) -> Float32Array:
    """Return noise of shape (rows, *shape), drawn where none was given.

    Raises:
        ObservationError: It is not finite or of another shape.
    """
    wanted = (rows, *shape)
    if not shape:
        return np.zeros((rows, 0), dtype=np.float32)
    if noises is None:
        return torch.randn(wanted).numpy()
    if np.shape(noises) != wanted or not np.isfinite(noises).all():
        raise ObservationError(f"noise must be finite and of shape {wanted}")
    return np.asarray(noises, dtype=np.float32)


def plan(
    parts: Parts,
    batch: Mapping[str, Any],
    noise: Float32Array,
    wish: torch.Tensor | None = None,
    prefix: ChunkPrefix | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Plan a chunk for each row.

    Args:
        parts: The policy.
        batch: What its pre-processor takes.
        noise: Shape (rows, *noise_shape).
        wish: What real-time chunking guides toward, in LeRobot's units. Shape (points, joints).
        prefix: Says how many points of it are decided.

    Returns:
        The network's own numbers and LeRobot's values, each of shape (rows, horizon, joints).

    Raises:
        ObservationError: The network's answer is no chunk.
    """
    rows = len(noise)
    with torch.no_grad(), _modes_kept(parts.network):
        if wish is not None:
            batch = {**batch, ACTION: wish.expand(rows, *wish.shape)}
        if rows > 1 and draws_more(parts.network):  # each row's draws must be its own
            made = [
                _one_batch(parts, _row(batch, i), noise[i : i + 1], prefix) for i in range(rows)
            ]
            native, values = (torch.cat(column) for column in zip(*made, strict=True))
        else:
            native, values = _one_batch(parts, dict(batch), noise, prefix)
    _check_tokens(parts.network)
    return native.float().cpu().numpy(), values.double().cpu().numpy()


def _one_batch(
    parts: Parts, batch: dict[str, Any], noise: Float32Array, prefix: ChunkPrefix | None
) -> tuple[torch.Tensor, torch.Tensor]:
    network = parts.network
    with _drawing(network, noise):
        ready = parts.processors.before(batch)
        wish = ready.pop(ACTION, None)
        options: dict[str, Any] = {}
        if network.name in FLOWS or network.name == "diffusion":
            options["noise"] = torch.from_numpy(noise).to(network.config.device)
        if prefix is None or wish is None:
            native = network.predict_action_chunk(ready, **options)
        else:
            with _guided(network):
                native = network.predict_action_chunk(ready, **options, **_guidance(prefix, wish))
        return native, parts.processors.after(native)


def _row(batch: Mapping[str, Any], row: int) -> dict[str, Any]:
    return {name: value[row : row + 1] for name, value in batch.items()}


def _guidance(prefix: ChunkPrefix, wish: torch.Tensor) -> dict[str, Any]:
    """Return LeRobot's arguments for real-time chunking.

    Args:
        prefix: Says how much is decided.
        wish: Its points, normalised. Shape (batch, points, joints).
    """
    points = wish.shape[1]
    return {
        "inference_delay": min(prefix.decided, points),
        "prev_chunk_left_over": wish,
        "execution_horizon": points,
    }


@contextmanager
def _guided(network: Any) -> Iterator[None]:
    """Switch LeRobot's real-time chunking on for one inference."""
    from lerobot.policies.rtc.configuration_rtc import RTCConfig

    before = network.config.rtc_config
    network.config.rtc_config = replace(before or RTCConfig(), enabled=True)
    network.init_rtc_processor()
    try:
        yield
    finally:
        network.config.rtc_config = before
        network.init_rtc_processor()
        network.model.rtc_processor = network.rtc_processor


@contextmanager
def _drawing(network: Any, noise: Float32Array) -> Iterator[None]:
    """Let whatever a network draws follow from its noise."""
    if not draws_more(network):
        yield
        return
    device = torch.device(network.config.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(zlib.crc32(noise.tobytes()))
        yield


@contextmanager
def _modes_kept(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, is_training in modes:
            module.training = is_training


def _check_tokens(network: Any) -> None:
    """Refuse an answer of pi0-FAST that is no chunk: LeRobot puts zeros in its place."""
    if network.name != "pi0_fast":
        return
    decoder = network.action_tokenizer.bpe_tokenizer
    problem, decoder.problem = decoder.problem, ""
    if problem:
        raise ObservationError(f"pi0_fast: its answer is no chunk: {problem}")
