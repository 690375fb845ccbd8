"""Which weights of a large policy train, as a person says it. Pure.

`so101.policies.lerobot.tuning` does it.
"""

from dataclasses import dataclass
from typing import Literal

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Which weights train, and how."""

    mode: Literal["", "full", "expert", "lora"] = option(
        "",
        "what trains: full, expert or lora; empty: as before, at first the expert if there is one",
        choices=("", "full", "expert", "lora"),
    )
    rank: int = option(16, "lora: rank of the adapters", range=(1, 1024))
    alpha: float = option(16.0, "lora: adapters act with alpha / rank", range=(0.0, 4096.0))
    targets: str = option(
        "", "lora: regular expression of adapted layers; empty as LeRobot has it"
    )
    precision: Literal["", "float32", "bfloat16"] = option(
        "",
        "of frozen weights and of computing; empty as the checkpoint has it",
        choices=("", "float32", "bfloat16"),
    )
    checkpoint_gradients: bool = option(
        False, "compute activations again in the backward pass: less memory, a third slower"
    )
