"""Inputs of tiny LeRobot policies as LeRobot's processors would make them, and their noise."""

import copy
import tempfile
from functools import cache
from pathlib import Path

import torch

ROWS, HORIZON, JOINTS = 3, 16, 6
NEEDS = ("lerobot", "transformers", "diffusers", "peft")


@cache
def _policy(kind, changes):
    from tiny_lerobot import tiny_policy

    torch.set_num_threads(1)
    return tiny_policy(kind, Path(tempfile.mkdtemp(prefix="so101-tiny-")), **dict(changes))


def shared_policy(kind, **changes):
    """Return a tiny policy that the whole process shares: not to be changed."""
    if kind == "act":
        changes = {"dropout": 0.0, **changes}
    return _policy(kind, tuple(sorted(changes.items())))


def own_policy(kind, **changes):
    """Return a copy of it that may be changed."""
    return copy.deepcopy(shared_policy(kind, **changes))


def make_inputs(kind, *, rows=ROWS, seed=0):
    """Return a batch in LeRobot's normalised space."""
    draw = torch.Generator().manual_seed(seed)
    batch = {
        "observation.state": torch.randn(rows, JOINTS, generator=draw),
        "action": torch.randn(rows, HORIZON, JOINTS, generator=draw),
    }
    for camera in ("wrist", "front"):
        batch[f"observation.images.{camera}"] = torch.rand(rows, 3, 64, 96, generator=draw)
    if kind not in ("act", "diffusion"):
        tokens = torch.randint(4, 40, (rows, 16), generator=draw)
        batch["observation.language.tokens"] = tokens
        lengths = 16 - 4 * torch.arange(rows)[:, None] % 12
        batch["observation.language.attention_mask"] = torch.arange(16) < lengths
    if kind == "pi0_fast":
        batch["action.tokens"] = torch.randint(4, 200, (rows, 20), generator=draw)
        lengths = 20 - 6 * torch.arange(rows)[:, None] % 18
        batch["action.token_mask"] = torch.arange(20) < lengths
    if kind == "diffusion":
        for key in [key for key in batch if key.startswith("observation")]:
            batch[key] = torch.stack([batch[key] * 0.9, batch[key]], dim=1)
    return batch


def make_noise(policy, *, rows=ROWS, draws=None, seed=1):
    """Return noise and uniform times."""
    size = getattr(policy.config, "max_action_dim", JOINTS)
    shape = (rows,) if draws is None else (rows, draws)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, HORIZON, size, generator=generator)
    return noise, torch.rand(*shape, generator=generator)


def whole(rows=ROWS):
    """Return a mask without padding."""
    return torch.ones(rows, HORIZON, dtype=torch.bool)


def cut(*lengths):
    """Return a mask of rows that end early."""
    return torch.arange(HORIZON).expand(len(lengths), -1) < torch.tensor(lengths)[:, None]
