"""Whether an episode may be trained on; if not, why."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from so101.data.columns import usable_steps
from so101.data.store_entry import EpisodeEntry
from so101.episode import ControlSource, Episode, Outcome
from so101.errors import BagError
from so101.images import image_shape
from so101.spec import PolicySpec


@dataclass(frozen=True, kw_only=True)
class SkippedEpisode:
    """An episode that is not trained on, and why."""

    episode: str
    reason: str


def check_entry(entry: EpisodeEntry, outcomes: Collection[str]) -> str:
    """Return why an episode of a store is not worth reading; empty when it is."""
    if entry.problem:
        return entry.problem
    return _check_outcome(entry.outcome, outcomes)


def check_episode(
    episode: Episode, spec: PolicySpec, outcomes: Collection[str], first: Episode | None = None
) -> str:
    """Return why an episode does not fit a policy; empty when it does.

    Args:
        episode: The episode.
        spec: What the policy sees and does.
        outcomes: Outcomes that are used.
        first: An episode of the same dataset, whose scene this one must share.
    """
    reason = _check_outcome(episode.outcome, outcomes)
    if reason:
        return reason
    joints = episode.actions.shape[1]
    if joints != len(spec.joints):
        return f"has {joints} joints, the policy {len(spec.joints)}"
    absent = [camera for camera in spec.cameras if camera not in episode.images]
    if absent:
        held = ", ".join(episode.images) or "none"
        return f"has no camera {', '.join(absent)}; it has {held}"
    if spec.uses_objects and episode.objects is None:
        return "has no object poses, which the policy looks at"
    if spec.uses_objects and first is not None and first.objects is not None:
        counts = [len(e.objects[0]) for e in (episode, first) if e.objects is not None]
        if counts[0] != counts[1]:
            return f"has {counts[0]} objects, the others {counts[1]}"
    try:
        _check_images(episode, spec, first or episode)
    except BagError as error:
        return str(error)
    if not np.any(usable_steps(episode, spec)):
        return "has no tick at which every stream is there"
    return ""


def check_arrays(episode: Episode, names: Collection[str]) -> str:
    """Return which arrays of the policy are missing; empty when none is, or it did not act."""
    if episode.facts.source != ControlSource.POLICY.value:
        return ""
    absent = [name for name in names if not episode.aux.get(name)]
    held = ", ".join(episode.aux) or "none"
    return f"has no array {', '.join(absent)} of the policy; it has {held}" if absent else ""


def _check_outcome(outcome: Outcome | None, outcomes: Collection[str]) -> str:
    if outcome is None or outcome.value in outcomes:  # unlabelled: a foreign demonstration
        return ""
    return f"is {outcome.value}"


def _check_images(episode: Episode, spec: PolicySpec, first: Episode) -> None:
    for camera in spec.cameras:
        shapes = {image_shape(jpeg) for jpeg in episode.images[camera] if jpeg is not None}
        expected = {image_shape(jpeg) for jpeg in first.images[camera] if jpeg is not None}
        if len(shapes) > 1 or (spec.image_size == (0, 0) and shapes != expected):
            raise BagError(
                f"{camera} camera: images of several sizes: {sorted(shapes | expected)}"
            )
