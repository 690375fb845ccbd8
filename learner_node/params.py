"""Parameters of the learner node."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from so101.config import option
from so101.groups.advantage import Pool
from so101.groups.gate import GateConfig
from so101.groups.lesson_config import LessonConfig
from so101.policies.tuning import Tuning


@dataclass(frozen=True, kw_only=True)
class GroupParams(LessonConfig):
    """How it learns from groups of rollouts."""

    steps: int = option(
        0, "training steps after a group; 0 as found good for the mode", range=(0, 10_000_000)
    )
    learning_rate: float = option(
        0.0, "at a group's first step; 0 as found good for the mode", range=(0.0, 1.0)
    )
    pool: Literal["", "group", "all", "regate", "retime"] = option(
        "",
        "episodes trained on: retime or regate (every success, only with rule gated), all or "
        "group (those with an advantage); empty: as the rule needs",
        choices=("", *get_args(Pool)),
    )


@dataclass(frozen=True, kw_only=True)
class LearnerParams:
    """What the learner trains on, and where checkpoints go."""

    store: str = option("", "directory of the episode store")
    checkpoints: str = option("", "directory of the checkpoints")
    jobs: str = option("", "directory of the training jobs; empty: beside the checkpoints")
    algorithm: str = option(
        "sft", "algorithm of the fine-tuning, see learner_node/algorithm_table"
    )
    steps: int = option(0, "training steps; 0 as found good for the mode", range=(0, 10_000_000))
    seed: int = option(0, "seed of weights, batches and noise", range=(0, 1_000_000))
    base: str = option(
        "", "checkpoint, LeRobot checkpoint or hub id to fine-tune; empty: new weights"
    )
    device: str = option("cpu", "where it trains: cpu, cuda or cuda:1")
    batch_size: int = option(0, "rows per step; 0 as found good", range=(0, 65536))
    learning_rate: float = option(
        0.0, "largest learning rate of the fine-tuning; 0 as found good", range=(0.0, 1.0)
    )
    cameras: tuple[str, ...] = option(("wrist", "front"), "cameras the policy sees")
    uses_objects: bool = option(False, "the policy sees object poses: state mode")
    image_height: int = option(96, "height the policy sees [px]", range=(32, 1024))
    image_width: int = option(96, "width the policy sees [px]", range=(32, 1024))
    trim: str = option(
        "all",
        "idle ticks taken out of the training sequence: all, those at the start only, or none",
        choices=("all", "start_only", "off"),
    )
    tuning: Tuning = field(default_factory=Tuning)
    group: GroupParams = field(default_factory=GroupParams)
    gate: GateConfig = field(default_factory=GateConfig)
