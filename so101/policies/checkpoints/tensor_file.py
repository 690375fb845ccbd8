"""Tensors in safetensors files: never executes anything, refuses what does not fit."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from so101.errors import CheckpointError


def write_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write named tensors; a disk that is full raises OSError."""
    path.write_bytes(save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors onto the CPU.

    Raises:
        CheckpointError: The file is missing or not a safetensors file.
    """
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    return tensors


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of a network."""
    write_tensors(network.state_dict(), path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Read the weights of a network, all or none.

    Raises:
        CheckpointError: A tensor is missing, unknown, of another size or type, or not finite.
    """
    stored, own = read_tensors(path), network.state_dict()
    if set(stored) != set(own):
        wrong = sorted(set(stored) ^ set(own))
        raise CheckpointError(f"{path}: missing or unknown tensors: {', '.join(wrong[:5])}")
    for name, tensor in stored.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise CheckpointError(
                f"{path}: {name} is {tensor.dtype} of shape {tuple(tensor.shape)}, "
                f"needs {own[name].dtype} of shape {tuple(own[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} holds values that are not finite")
    network.load_state_dict(stored)
