"""Parameters of the learner node."""

from dataclasses import dataclass
from typing import Literal

from so101.config import option


@dataclass(frozen=True, kw_only=True)
class LearnerParams:
    """What the learner trains on, and where checkpoints go."""

    store: str = option("", "directory of the episode store")
    checkpoints: str = option("", "directory of the checkpoints")
    jobs: str = option("", "directory of the training jobs; empty: beside the checkpoints")
    algorithm: str = option("sft", "learning algorithm", choices=("sft",))
    steps: int = option(0, "training steps; 0 as found good for the mode", range=(0, 10_000_000))
    seed: int = option(0, "seed of weights, batches and noise", range=(0, 1_000_000))
    cameras: tuple[str, ...] = option(("wrist", "front"), "cameras the policy sees")
    uses_objects: bool = option(False, "the policy sees object poses: state mode")
    image_height: int = option(96, "height the policy sees [px]", range=(32, 1024))
    image_width: int = option(96, "width the policy sees [px]", range=(32, 1024))
    trim: str = option(
        "all",
        "idle ticks taken out of the training sequence: all, those at the start only, or none",
        choices=("all", "start_only", "off"),
    )
    group_steps: int = option(
        0, "training steps after a group; 0 as found good for the mode", range=(0, 10_000_000)
    )
    gate: Literal["poses", "nothing"] = option(
        "poses",
        "poses: a group's candidate is tried in simulation before it acts; nothing: taken as is",
        choices=("poses", "nothing"),
    )
    gate_poses: int = option(80, "fixed poses that every candidate is tried on", range=(1, 10_000))
    gate_margin: float = option(
        0.0, "success share a candidate may lose against the supervised policy", range=(0.0, 1.0)
    )
