"""Weights of LeRobot networks, strictly: LeRobot itself goes on with random ones where it can.

Tensors that share memory are stored once. A LeRobot checkpoint may hold tensors in another float
type than the network has, and heads that the network was relieved of.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from so101.errors import CheckpointError
from so101.policies.checkpoints.tensor_file import read_tensors, write_tensors


def save_network(network: nn.Module, path: Path) -> None:
    """Write every weight, shared ones once."""
    state = network.state_dict()
    write_tensors({names[0]: state[names[0]] for names in _groups(state)}, path)


def load_network(network: nn.Module, path: Path) -> None:
    """Read the weights that `save_network` wrote, all or none.

    Raises:
        CheckpointError: A tensor is missing, unknown, of another size or type, or not finite.
    """
    put_weights(network, read_tensors(path), path)


def put_weights(
    network: nn.Module,
    stored: Mapping[str, torch.Tensor],
    path: Path,
    *,
    spare: frozenset[str] = frozenset(),
    is_cast: bool = False,
) -> None:
    """Put weights into a network, all or none.

    Args:
        network: What gets them.
        stored: By the network's names.
        path: Where they were read, for messages.
        spare: Names that may be stored though the network has no use for them.
        is_cast: Whether another float type is converted to the network's.

    Raises:
        CheckpointError: A tensor is missing, unknown, of another size or type, or not finite.
    """
    own = network.state_dict()
    unknown = sorted(set(stored) - set(own) - spare)
    groups = _groups(own)
    absent = sorted(names[0] for names in groups if not any(name in stored for name in names))
    if unknown or absent:
        raise CheckpointError(
            f"{path}: missing or unknown tensors: {', '.join([*absent, *unknown][:5])}"
        )
    chosen = {}
    for names in groups:
        source = stored[next(name for name in names if name in stored)]
        _check(source, own[names[0]], names[0], path, is_cast=is_cast)
        chosen[names[0]] = source
    with torch.no_grad():
        for name, source in chosen.items():
            own[name].copy_(source)


def _groups(state: Mapping[str, torch.Tensor]) -> list[list[str]]:
    """Return the names of tensors, those of the same memory together."""
    groups: dict[tuple[int, tuple[int, ...]] | str, list[str]] = {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tuple(tensor.shape))
        groups.setdefault(place if tensor.numel() else name, []).append(name)
    return list(groups.values())


def _check(
    source: torch.Tensor, own: torch.Tensor, name: str, path: Path, *, is_cast: bool
) -> None:
    both_float = source.is_floating_point() and own.is_floating_point()
    has_type = source.dtype == own.dtype or (is_cast and both_float)
    if source.shape != own.shape or not has_type:
        raise CheckpointError(
            f"{path}: {name} is {source.dtype} of shape {tuple(source.shape)}, "
            f"needs {own.dtype} of shape {tuple(own.shape)}"
        )
    if not torch.isfinite(source).all():
        raise CheckpointError(f"{path}: {name} holds values that are not finite")
