"""The facts of the episodes that a session asks for, each under an id of its own. Pure."""

import itertools
from dataclasses import replace

from reward_node.session_config import SessionConfig
from so101.episode import EpisodeFacts
from so101.episode_plan import EpisodePlan
from so101.simulation.tasks.table import make_task

_PLANNED = ("phase", "task", "start_pose", "seed")


def instruction_of(config: SessionConfig) -> str:
    """Return what the robot is asked to do, in words: a person's, or else the task's own.

    Raises:
        ConfigError: The task is unknown.
    """
    return config.instruction or make_task(config.task).instruction


class SessionPlan:
    """What the run's `EpisodePlan` asks for, with ids that no earlier episode has."""

    def __init__(self, config: SessionConfig) -> None:
        """Plan a session; no id is taken yet."""
        self._ids: set[str] = set()
        self._prefix = config.id_prefix
        self.episodes = EpisodePlan(
            seed=config.seed,
            task=config.task,
            instruction=instruction_of(config),
            start=config.start,
            recovery=config.recovery,
            operator=config.operator,
        )

    def take_id(self, name: str) -> None:
        """Remember an id that an episode has."""
        self._ids.add(name)

    def new_id(self, name: str) -> str:
        """Take a name behind the prefix, with the number of the try when it was taken before."""
        name = self._prefix + name
        tries = (f"{name}-{i}" if i > 1 else name for i in itertools.count(1))
        found = next(i for i in tries if i not in self._ids)
        self._ids.add(found)
        return found

    def named(self, facts: EpisodeFacts) -> EpisodeFacts:
        """Return planned facts under a new id."""
        return replace(facts, id=self.new_id(facts.id))

    def is_trial(self, facts: EpisodeFacts) -> bool:
        """Tell whether an episode belongs to an evaluation as this session makes them."""
        return _is_as_planned(facts, self.episodes.trial(facts.rollout))

    def is_rollout(self, facts: EpisodeFacts) -> bool:
        """Tell whether an episode is a rollout of a group as this session makes them."""
        return facts.group >= 0 and _is_as_planned(
            facts, self.episodes.rollout(facts.group, facts.rollout)
        )


def _is_as_planned(facts: EpisodeFacts, planned: EpisodeFacts) -> bool:
    return all(getattr(facts, name) == getattr(planned, name) for name in _PLANNED)
