"""How fast a checkpoint's policy should learn, where its kind says so. Nothing is loaded.

LeRobot's configs hold the optimiser settings that its authors train a policy with. Our flow policy
has none of that: the algorithms' own settings were found with it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so101.policies.checkpoints.files import POLICY_FILE
from so101.policies.checkpoints.json_file import read_json

_NAMES = {
    "learning_rate": "optimizer_lr",
    "weight_decay": "optimizer_weight_decay",
    "grad_clip": "optimizer_grad_clip_norm",
}
_OTHERS = {"batch_size": 8, "draws": 1, "shift_px": 0, "joint_noise_rad": 0.0}
"""A draw is a whole pass of a large network; LeRobot trains on images and joints as they are."""
_ADAPTER_RATE = 10.0
"""Adapters learn best at about ten times the rate of the weights under them (Schulman et al. 2025,
"LoRA without regret")."""


def training_settings(path: Path, mode: str = "") -> dict[str, Any]:
    """Return an imitating algorithm's settings for training a checkpoint further.

    Args:
        path: A checkpoint of ours.
        mode: What is to train, see `so101.policies.tuning.Tuning`; empty as the checkpoint says.

    Returns:
        Settings by name, empty where its kind says nothing.

    Raises:
        CheckpointError: One of its files cannot be read.
    """
    described = read_json(path / POLICY_FILE)
    if described.get("class") != "lerobot":
        return {}
    found: Mapping[str, Any] = read_json(path / "config.json")
    settings = dict(_OTHERS)
    settings |= {name: found[key] for name, key in _NAMES.items() if key in found}
    tuning = described.get("config", {}).get("tuning") or {}
    if (mode or tuning.get("mode")) == "lora" and "learning_rate" in settings:
        settings["learning_rate"] *= _ADAPTER_RATE
    return settings
