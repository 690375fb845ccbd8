"""What a session is to do: a section of the reward node's parameters."""

from dataclasses import dataclass, field
from typing import get_args

from so101.config import option
from so101.errors import ConfigError
from so101.groups.advantage import Rule
from so101.groups.exploration import ExplorationConfig


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """What a session does; every field documents itself."""

    job: str = option(
        "rl",
        "what to do: rl (demonstrations, SFT, evaluation, groups), record (demonstrations only), "
        "evaluate (the given checkpoint only), manual (episodes by service)",
        choices=("rl", "record", "evaluate", "manual"),
    )
    task: str = option("pick", "name of the task")
    instruction: str = option(
        "", "what the robot is asked to do, in words; empty for the task's own"
    )
    start: str = option("std", "start region of every episode")
    recovery: float = option(
        0.2, "share of demonstrations that start off the home pose", range=(0.0, 1.0)
    )
    demonstrations: int = option(60, "successful demonstrations to collect", range=(1, 10_000))
    more_demonstrations: int = option(
        30, "demonstrations added when the evaluation misses its target", range=(1, 10_000)
    )
    max_demonstrations: int = option(150, "bound of demonstrations", range=(1, 100_000))
    evaluation_episodes: int = option(20, "episodes of the evaluation", range=(1, 10_000))
    target_success: float = option(
        0.75, "success below which more demonstrations are collected", range=(0.0, 1.0)
    )
    groups: int = option(
        0, "groups of rollouts after a good evaluation; 0 ends with it", range=(0, 99)
    )
    rollouts: int = option(10, "rollouts of a group", range=(1, 1000))
    rule: Rule = option(
        "gated",
        "how rollouts get their advantage; manual waits until people have rated every one",
        choices=get_args(Rule),
    )
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    seed: int = option(0, "seed of start poses and noise", range=(0, 1_000_000))
    id_prefix: str = option(
        "", "in front of every episode's id, so that no two arms' episodes are called the same"
    )
    operator: str = option("", "who watches; recorded in every episode")

    def __post_init__(self) -> None:
        """Reject a bound below what is asked for."""
        if self.job == "rl" and self.demonstrations > self.max_demonstrations:
            raise ConfigError(
                f"demonstrations={self.demonstrations} is more than "
                f"max_demonstrations={self.max_demonstrations}"
            )
