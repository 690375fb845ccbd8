"""The facts of every episode that a session plans: its name, seed, start and speed. Pure.

Every use has a block of seeds of its own within its run's million, so demonstrations, rollouts,
the gate's poses and those that results are reported on never share a start or a noise; and the
same run seed means the same episodes in process and through the nodes.
"""

from dataclasses import dataclass
from typing import Literal

from so101.episode import EpisodeFacts
from so101.errors import ConfigError

Use = Literal["demonstrations", "evaluation", "gate", "rollouts"]
_RUN = 1_000_000
_BLOCK = 100_000
_GROUP = 1_000
_FIRST: dict[Use, int] = {
    "demonstrations": 0,
    "evaluation": 500_000,
    "gate": 600_000,
    "rollouts": 700_000,
}


def episode_seed(run_seed: int, use: Use, number: int) -> int:
    """Return the seed of the start pose and the noise of an episode.

    Raises:
        ConfigError: The run seed is negative, or the number is outside the block.
    """
    if run_seed < 0 or not 0 <= number < _BLOCK:
        raise ConfigError(
            f"episode seed: run seed {run_seed} must be at least 0 and number {number} in "
            f"0..{_BLOCK - 1}"
        )
    return run_seed * _RUN + _FIRST[use] + number


def run_seed_of(seed: int) -> int:
    """Return the run seed that an episode's seed belongs to."""
    return seed // _RUN


def is_in_share(share: float, number: int) -> bool:
    """Tell whether episode ``number`` belongs to an evenly spread share of all episodes."""
    return int((number + 1) * share) > int(number * share)


@dataclass(frozen=True, kw_only=True)
class EpisodePlan:
    """What all episodes of a run have in common.

    Attributes:
        seed: Run seed.
        task: Name of the task.
        instruction: What policies are told to do, in words.
        start: Start region.
        recovery: Share of demonstrations that start off the home pose.
        operator: Who watches.
    """

    seed: int = 0
    task: str = "pick"
    instruction: str = ""
    start: str = "std"
    recovery: float = 0.2
    operator: str = ""

    def demonstration(self, number: int) -> EpisodeFacts:
        """Return the facts of a demonstration."""
        is_recovery = is_in_share(self.recovery, number)
        return EpisodeFacts(
            id=f"demo-{number:04d}",
            phase="demonstrations",
            task=self.task,
            instruction=self.instruction,
            source="teleop",
            rollout=number,
            seed=episode_seed(self.seed, "demonstrations", number),
            start_pose=f"{self.start}+recovery" if is_recovery else self.start,
            operator=self.operator,
        )

    def trial(self, number: int, checkpoint: str = "", use: Use = "evaluation") -> EpisodeFacts:
        """Return the facts of an episode of an evaluation, or of the gate's.

        Args:
            number: Of the episode, from 0.
            checkpoint: sha256 of the policy's weights.
            use: ``evaluation`` or ``gate``.
        """
        return EpisodeFacts(
            id=f"{'eval' if use == 'evaluation' else use}-{checkpoint[:8]}-{number:04d}",
            phase=use,
            task=self.task,
            instruction=self.instruction,
            source="policy",
            rollout=number,
            checkpoint=checkpoint,
            seed=episode_seed(self.seed, use, number),
            start_pose=self.start,
            operator=self.operator,
        )

    def rollout(
        self, group: int, number: int, *, checkpoint: str = "", speed: float = 1.0
    ) -> EpisodeFacts:
        """Return the facts of a rollout.

        Args:
            group: Number of its group, from 0.
            number: Within the group, from 0.
            checkpoint: sha256 of the policy's weights.
            speed: Playback factor of its chunks.

        Raises:
            ConfigError: A group has more than 1000 rollouts.
        """
        if number >= _GROUP:
            raise ConfigError(f"rollout {number}: a group has at most {_GROUP}")
        return EpisodeFacts(
            id=f"group-{group:02d}-rollout-{number:02d}",
            phase="rollouts",
            task=self.task,
            instruction=self.instruction,
            source="policy",
            group=group,
            rollout=number,
            checkpoint=checkpoint,
            seed=episode_seed(self.seed, "rollouts", group * _GROUP + number),
            start_pose=self.start,
            speed=speed,
            operator=self.operator,
        )
