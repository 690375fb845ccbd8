"""A rated rollout: what group-relative learning knows about an episode. Pure."""

from dataclasses import dataclass
from typing import Protocol

from so101.episode import Episode, EpisodeFacts, Outcome
from so101.errors import BagError
from so101.rewards.success import PickSuccess

DEMONSTRATION = -1
"""Group number of an episode that belongs to no group."""


class Ended(Protocol):
    """Any episode that ended: all that results need to know of it."""

    @property
    def duration_s(self) -> float:
        """Time to its end [s]."""
        ...

    @property
    def is_success(self) -> bool:
        """The task was done."""
        ...


@dataclass(frozen=True, kw_only=True)
class RatedRollout:
    """How one episode went, as far as learning cares.

    Attributes:
        episode: Its id.
        group: Number of its group; `DEMONSTRATION` outside groups.
        duration_s: Time to its end, simulated or real [s].
        is_success: The task was done.
        is_home: The arm was home again at the end.
        is_stable: The grip was stable at the end.
        speed: Playback factor of its chunks.
        advantage: What a person gave it; None while not rated by hand.
    """

    episode: str
    group: int
    duration_s: float
    is_success: bool
    is_home: bool = True
    is_stable: bool = True
    speed: float = 1.0
    advantage: float | None = None

    @property
    def is_good(self) -> bool:
        """Tell whether it is fit to be imitated: done, home again, with a stable grip."""
        return self.is_success and self.is_home and self.is_stable


def rate(episode: Episode) -> RatedRollout:
    """Rate an episode by its outcome and, where object poses were recorded, by the grip.

    The outcome counts as recorded or labelled. Without object poses nobody but a person can tell
    a fingertip grasp from a stable one: then a success counts as stable.

    Raises:
        BagError: The episode has no outcome.
    """
    facts = episode.facts
    if episode.outcome is None:
        raise BagError(f"episode {facts.id}: has no outcome yet")
    is_success = episode.outcome is Outcome.SUCCESS
    is_home = is_stable = is_success
    if is_success and episode.objects is not None and len(episode):
        success = PickSuccess()
        for stamp_ns, positions, objects in zip(
            episode.stamps_ns.tolist(), episode.positions, episode.objects, strict=True
        ):
            last = success.update(stamp_ns, positions, objects)
        is_home, is_stable = last.home, last.stable_grip
    return RatedRollout(
        episode=facts.id,
        group=_group(facts),
        duration_s=episode.duration_s,
        is_success=is_success,
        is_home=is_home,
        is_stable=is_stable,
        speed=facts.speed,
        advantage=episode.labels.get("advantage"),
    )


def _group(facts: EpisodeFacts) -> int:
    return facts.group if facts.group >= 0 else DEMONSTRATION
