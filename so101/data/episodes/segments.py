"""Where the episodes of a bag lie, and how its streams were waited for when it was recorded."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from so101.clock import CONTROL_GRID
from so101.config import option
from so101.data.bags.bag import Bag
from so101.data.bags.custom_data import (
    IS_LOCK_STEP,
    default_id,
    facts_from_text,
    published_from_text,
)
from so101.data.episodes.assembly import Recorded
from so101.data.episodes.stream_reports import QualityConfig
from so101.data.episodes.timeline import Timeline
from so101.episode import EpisodeState, Outcome
from so101.errors import BagError
from so101.events import EpisodeEvent
from so101.robot import JOINTS
from so101.streams import ObservationConfig
from so101.topics import EPISODE, JOINT_STATES

_OUTCOMES = {
    EpisodeState.SUCCEEDED: Outcome.SUCCESS,
    EpisodeState.FAILED: Outcome.FAILURE,
    EpisodeState.TRUNCATED: Outcome.TRUNCATED,
    EpisodeState.DISCARDED: Outcome.DISCARDED,
}


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """How bags are read and when an episode is refused."""

    joints: tuple[str, ...] = option(JOINTS, "joint names in the order of every joint array")
    namespace: str | None = option(None, "robot namespace; found when one robot is in the bag")
    renames: dict[str, str] = field(
        default_factory=dict,
        metadata={"doc": "relative name by the name of a topic in the bag, where they differ"},
    )
    stamps: Literal["header", "arrival"] = option(
        "header", "what dates a sample; arrival: for recorders that leave header stamps empty"
    )
    timing: Literal["recorded", "lock_step", "free"] = option(
        "recorded", "how streams were waited for; recorded: as the bag says, or as its stamps show"
    )
    max_joint_age_s: float = option(0.05, "age limit of joint states [s]", range=(0.0, 10.0))
    max_image_age_s: float = option(0.1, "age limit of images [s]", range=(0.0, 10.0))
    max_image_skew_s: float = option(
        0.05, "an image this much older than another camera's is missing [s]", range=(0.0, 10.0)
    )
    max_object_age_s: float = option(0.1, "age limit of object poses [s]", range=(0.0, 10.0))
    quality: QualityConfig = field(default_factory=QualityConfig)


def find_segments(bag: Bag, timeline: Timeline) -> list[Recorded]:
    """Return the episodes of a bag in the order in which they ran.

    Raises:
        BagError: The bag has no joint states, or an episode ends before it starts.
    """
    stamps = timeline.stamps(JOINT_STATES.name)
    if not len(stamps):
        raise BagError(f"{bag.path}: {JOINT_STATES.name}: no message")
    last_ns = int(stamps[-1]) + 1
    segments: list[Recorded] = []
    for event in timeline.events[EPISODE.name]:
        if event.state is EpisodeState.RUNNING:
            _begin(segments, event, last_ns)
        elif event.state.is_end and segments and segments[-1].outcome is None:
            _end(segments, event, bag.path)
    if not segments:
        facts = facts_from_text(bag.custom_data, default_id(bag.path))
        whole = Recorded(facts=facts, start_ns=int(stamps[0]), end_ns=last_ns, outcome=None)
        segments = [whole]
    if len(segments) == 1:  # what was sent is counted per bag
        segments = [replace(segments[0], lost=_find_lost(bag, timeline.prefix))]
    return segments


def _begin(segments: list[Recorded], event: EpisodeEvent, last_ns: int) -> None:
    if segments and segments[-1].start_ns == event.stamp_ns:
        return  # a latched message said again
    if segments and segments[-1].outcome is None:  # nobody said how it ended
        started = segments[-1]
        segments[-1] = replace(started, end_ns=min(started.end_ns, event.stamp_ns))
    segments.append(
        Recorded(facts=event.facts, start_ns=event.stamp_ns, end_ns=last_ns, outcome=None)
    )


def _end(segments: list[Recorded], event: EpisodeEvent, path: Path) -> None:
    started = segments[-1]
    if event.facts.id != started.facts.id or event.stamp_ns < started.start_ns:
        raise BagError(
            f"{path}: {EPISODE.name}: {event.facts.id} {event.state.value} at "
            f"{event.stamp_ns} while {started.facts.id} ran from {started.start_ns}"
        )
    outcome = _OUTCOMES[event.state]
    segments[-1] = replace(started, facts=event.facts, end_ns=event.stamp_ns, outcome=outcome)


def _find_lost(bag: Bag, prefix: str) -> dict[str, int]:
    """Return how many messages of each topic were sent and are not in the bag, where it says."""
    counts = bag.counts()
    published = published_from_text(bag.custom_data, str(bag.path))
    return {n: max(0, sent - counts.get(prefix + n, 0)) for n, sent in published.items()}


def observation_config(
    bag: Bag, timeline: Timeline, segment: Recorded, config: ReaderConfig
) -> ObservationConfig:
    """Return the join that a bag's policy used: every stream the bag has, its way of waiting."""
    if config.timing == "recorded":
        told = bag.custom_data.get(IS_LOCK_STEP)
        is_lock_step = told == "true" if told is not None else _is_on_grid(timeline, segment)
    else:
        is_lock_step = config.timing == "lock_step"
    return ObservationConfig(
        joints=config.joints,
        cameras=timeline.cameras,
        uses_objects=timeline.has_objects,
        task=segment.facts.words,
        is_lock_step=is_lock_step,
        max_joint_age_s=config.max_joint_age_s,
        max_image_age_s=config.max_image_age_s,
        max_image_skew_s=config.max_image_skew_s,
        max_object_age_s=config.max_object_age_s,
    )


def _is_on_grid(timeline: Timeline, segment: Recorded) -> bool:
    """Tell whether every sample carries a tick as its stamp, which free-running cameras do not."""
    return all(
        CONTROL_GRID.is_tick(sample.stamp_ns)
        for sample in timeline.samples
        if segment.start_ns <= sample.stamp_ns <= segment.end_ns
    )
