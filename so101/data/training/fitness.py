"""Whether an episode may be trained on; if not, why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from so101.data.stores.store_entry import EpisodeEntry
from so101.data.training.columns import Columns, usable_steps
from so101.data.training.tick_table import TickTable
from so101.episode import ControlSource, Outcome
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


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What the episodes of a dataset share.

    Attributes:
        objects: Number of objects; None without.
        shapes: Height and width of each camera's images [px].
    """

    objects: int | None
    shapes: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, columns: Columns) -> "Scene":
        """Return the scene of a dataset's steps."""
        return cls(
            objects=None if columns.objects is None else columns.objects.shape[1],
            shapes={camera: frames.size for camera, frames in columns.images.items()},
        )


def check_episode(
    table: TickTable, spec: PolicySpec, outcomes: Collection[str], scene: Scene | None = None
) -> str:
    """Return why an episode does not fit a policy; empty when it does.

    Args:
        table: The episode.
        spec: What the policy sees and does.
        outcomes: Outcomes that are used.
        scene: What the other episodes of the dataset share; None for the first one.
    """
    reason = _check_outcome(table.outcome, outcomes)
    if reason:
        return reason
    joints = table.actions.shape[1]
    if joints != len(spec.joints):
        return f"has {joints} joints, the policy {len(spec.joints)}"
    absent = [camera for camera in spec.cameras if camera not in table.cameras]
    if absent:
        return f"has no camera {', '.join(absent)}; it has {', '.join(table.held) or 'none'}"
    if spec.uses_objects and table.objects is None:
        return "has no object poses, which the policy looks at"
    if spec.uses_objects and scene is not None and table.objects is not None:
        count = table.objects.shape[1]
        if scene.objects is not None and count != scene.objects:
            return f"has {count} objects, the others {scene.objects}"
    reason = _check_images(table, spec, scene)
    if reason:
        return reason
    if not np.any(usable_steps(table, spec)):
        return "has no tick at which every stream is there"
    return ""


def check_arrays(table: TickTable, names: Collection[str]) -> str:
    """Return which arrays of the policy are missing; empty when none is, or it did not act."""
    if table.facts.source != ControlSource.POLICY.value:
        return ""
    absent = [name for name in names if name not in table.aux]
    held = ", ".join(table.aux) or "none"
    return f"has no array {', '.join(absent)} of the policy; it has {held}" if absent else ""


def _check_outcome(outcome: Outcome | None, outcomes: Collection[str]) -> str:
    if outcome is None or outcome.value in outcomes:  # unlabelled: a foreign demonstration
        return ""
    return f"is {outcome.value}"


def _check_images(table: TickTable, spec: PolicySpec, scene: Scene | None) -> str:
    for camera in spec.cameras:
        seen = table.cameras[camera]
        if seen.problem:
            return seen.problem
        shapes = set(seen.shapes)
        if scene is not None and spec.image_size == (0, 0):
            shapes.add(scene.shapes[camera])
        if len(shapes) > 1:
            return f"{camera} camera: images of several sizes: {sorted(shapes)}"
    return ""
