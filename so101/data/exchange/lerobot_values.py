"""Episodes as the columns of a LeRobotDataset, and back. Pure values: no files, no LeRobot.

The standard columns are for everybody: float32, degrees and gripper percent. Beside each lies what
it was rounded from. On the way back the standard column is the truth, and the exact one is used
where it agrees with it to float32's rounding; where somebody changed the one, the other is counted
as stale and ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from so101.arrays import BoolArray, Float32Array, FloatArray, IntArray
from so101.clock import POLICY_GRID
from so101.episode import (
    SOURCE_CODES,
    ControlSource,
    Episode,
    EpisodeFacts,
    Outcome,
)
from so101.robot import JOINTS, from_lerobot, to_lerobot

STATE, ACTION = "observation.state", "action"
IMAGE_PREFIX = "observation.images."
REWARD, DONE, TRUNCATED, SUCCESS = "next.reward", "next.done", "next.truncated", "next.success"
INTERVENTION, SOURCE, POLICY_ID = "is_intervention", "control_source", "policy_id"
EPISODE_ID, STAMP = "so101.episode", "so101.stamp_ns"
OBJECTS, EXACT_REWARD = "so101.objects", "so101.reward"
EXACT = {
    name: f"so101.{name}"
    for name in ("positions", "velocities", "effort", "commands", "actions", "wishes")
}
"""Columns of an `Episode` to the float64 columns that carry them, in SI units."""
JOINT_NAMES = tuple(f"{joint}.pos" for joint in JOINTS)
Columns = Mapping[str, Any]


def features(
    image_shapes: Mapping[str, tuple[int, int]], objects: int, image_kind: str
) -> dict[str, dict[str, Any]]:
    """Return LeRobot's description of every column.

    Args:
        image_shapes: Camera id to height and width [px].
        objects: Number of object poses; 0 for none.
        image_kind: ``video`` or ``image``.
    """
    joints = (len(JOINTS),)
    described = {STATE: _feature("float32", joints, JOINT_NAMES)}
    described[ACTION] = _feature("float32", joints, JOINT_NAMES)
    for camera, (height, width) in image_shapes.items():
        axes = ("height", "width", "channels")
        described[IMAGE_PREFIX + camera] = _feature(image_kind, (height, width, 3), axes)
    described[REWARD] = _feature("float32")
    for name in (DONE, TRUNCATED, SUCCESS, INTERVENTION):
        described[name] = _feature("bool")
    for name in (SOURCE, POLICY_ID, EPISODE_ID):
        described[name] = _feature("string")
    described[STAMP] = _feature("int64")
    described[EXACT_REWARD] = _feature("float64")
    for name in EXACT.values():
        described[name] = _feature("float64", joints, JOINTS)
    if objects:
        names = tuple(f"{i}.{axis}" for i in range(objects) for axis in _POSE)
        described[OBJECTS] = _feature("float64", (len(names),), names)
    return described


_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")


def _feature(
    dtype: str, shape: tuple[int, ...] = (1,), names: tuple[str, ...] | None = None
) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "names": None if names is None else list(names)}


def to_columns(episode: Episode) -> dict[str, Any]:
    """Return every column but the images; arrays have one row per step, texts are lists."""
    steps = len(episode)
    is_last = np.arange(steps) == steps - 1
    names = {code: source for source, code in SOURCE_CODES.items()}
    sources = [names[code] for code in episode.sources.tolist()]
    checkpoint = episode.facts.checkpoint
    columns: dict[str, Any] = {
        STATE: to_lerobot(episode.positions).astype(np.float32),
        ACTION: to_lerobot(episode.actions).astype(np.float32),
        REWARD: episode.rewards.astype(np.float32)[:, None],
        DONE: (episode.terminated | episode.truncated)[:, None],
        TRUNCATED: episode.truncated[:, None],
        SUCCESS: (is_last & (episode.outcome is Outcome.SUCCESS))[:, None],
        INTERVENTION: (episode.sources == SOURCE_CODES[ControlSource.TELEOP])[:, None],
        SOURCE: [source.value for source in sources],
        POLICY_ID: [checkpoint if s is ControlSource.POLICY else "" for s in sources],
        EPISODE_ID: [episode.facts.id] * steps,
        STAMP: episode.stamps_ns[:, None],
        EXACT_REWARD: episode.rewards[:, None],
    }
    for name, column in EXACT.items():
        values = getattr(episode, name)
        columns[column] = np.full((steps, len(JOINTS)), np.nan) if values is None else values
    if episode.objects is not None and episode.objects.shape[1]:
        columns[OBJECTS] = episode.objects.reshape(steps, -1)
    return columns


@dataclass(frozen=True, kw_only=True)
class Units:
    """What a dataset's joint values mean.

    Attributes:
        half_range: Half of the calibrated range of each joint [rad], where -100 and 100 are its
            ends; None where body joints are in degrees. The gripper is 0 to 100 either way.
            Shape (joints,).
    """

    half_range: FloatArray | None = None

    def to_rad(self, values: FloatArray) -> FloatArray:
        """Convert values of shape (..., joints) to positions [rad]."""
        positions = from_lerobot(values)
        if self.half_range is not None:
            positions[..., :-1] = (values / 100.0 * self.half_range)[..., :-1]
        return positions

    def from_rad(self, positions: FloatArray) -> FloatArray:
        """Convert positions [rad] of shape (..., joints) to values, the inverse of `to_rad`."""
        values = to_lerobot(positions)
        if self.half_range is not None:
            values[..., :-1] = (np.asarray(positions) / self.half_range * 100.0)[..., :-1]
        return values


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An episode of a dataset as values, without its images.

    Attributes:
        episode: The episode; ``commands`` before the first action are NaN when nobody knows.
        period_ns: From one step to the next [ns].
        has_rewards: Whether the dataset says anything about rewards or the end.
        edited: Standard column to the number of its values that are not what the exact column
            beside it was rounded to: the standard one counts.
    """

    episode: Episode
    period_ns: int
    has_rewards: bool
    edited: Mapping[str, int] = field(default_factory=dict)


def from_columns(
    columns: Columns,
    facts: EpisodeFacts,
    units: Units,
    stamps_ns: IntArray,
    period_ns: int,
    outcome: Outcome | None = None,
) -> Taken:
    """Return a dataset's episode as values, the inverse of `to_columns`.

    Args:
        columns: The columns that the dataset has; joints in our order.
        facts: What is known about the episode.
        units: Of state and action.
        stamps_ns: When each step was [ns]. Shape (steps,).
        period_ns: From one step to the next [ns].
        outcome: How it ended, when something else than the columns says.
    """
    steps = len(stamps_ns)
    edited: dict[str, int] = {}
    positions = _refine(columns, STATE, EXACT["positions"], units, edited)
    actions = _refine(columns, ACTION, EXACT["actions"], units, edited)
    unknown = np.full_like(positions, np.nan)
    # Before its first action a dataset of somebody else says nothing about the goal in force.
    commands = columns.get(EXACT["commands"], np.concatenate([unknown[:1], actions[:-1]]))
    truncated = _flags(columns, TRUNCATED, steps)
    terminated = _flags(columns, DONE, steps) & ~truncated
    episode = Episode(
        facts=facts,
        outcome=outcome or _outcome(columns, terminated),
        stamps_ns=stamps_ns,
        positions=positions,
        velocities=columns.get(EXACT["velocities"], unknown),
        effort=columns.get(EXACT["effort"], unknown),
        commands=commands,
        actions=actions,
        sources=_sources(columns, facts, steps),
        rewards=_rewards(columns, steps, edited),
        terminated=terminated,
        truncated=truncated,
        objects=_objects(columns, steps),
        wishes=columns.get(EXACT["wishes"]),
        is_gap=np.zeros(steps, dtype=np.bool_),
    )
    has_rewards = REWARD in columns or DONE in columns
    return Taken(episode=episode, period_ns=period_ns, has_rewards=has_rewards, edited=edited)


def own_stamps(columns: Columns) -> IntArray | None:
    """Return the stamps that an export of ours carries [ns], if they are whole: tick after tick.

    None where there are none, or where steps were taken out since.
    """
    stamps = columns.get(STAMP)
    if stamps is None or not POLICY_GRID.is_tick(int(stamps.flat[0])):
        return None
    first = POLICY_GRID.floor(int(stamps.flat[0]))
    expected = np.array([POLICY_GRID.stamp(first + i) for i in range(len(stamps))], dtype=np.int64)
    return expected if np.array_equal(expected, stamps.reshape(-1)) else None


def _refine(
    columns: Columns, standard: str, exact: str, units: Units, edited: dict[str, int]
) -> FloatArray:
    values = np.asarray(columns[standard], dtype=np.float32)
    found = units.to_rad(values.astype(np.float64))
    if exact not in columns or units.half_range is not None:
        return found
    refined, stale = _agreeing(values, columns[exact], to_lerobot(columns[exact]), found)
    if stale:
        edited[standard] = stale
    return refined


def _agreeing(
    standard: Float32Array, exact: FloatArray, as_standard: FloatArray, found: FloatArray
) -> tuple[FloatArray, int]:
    """Return the exact values where they round to the standard ones, and how many do not.

    One unit in the last place is allowed: another computer's arithmetic may round otherwise.
    """
    off = np.abs(as_standard.astype(np.float32) - standard)
    agrees = off <= np.spacing(np.abs(standard))
    return np.where(agrees, exact, found), int((~agrees).sum())


def _rewards(columns: Columns, steps: int, edited: dict[str, int]) -> FloatArray:
    if REWARD not in columns:
        return np.zeros(steps)
    standard = np.asarray(columns[REWARD], dtype=np.float32).reshape(steps)
    found = standard.astype(np.float64)
    if EXACT_REWARD not in columns:
        return found
    exact = np.asarray(columns[EXACT_REWARD], dtype=np.float64).reshape(steps)
    refined, stale = _agreeing(standard, exact, exact, found)
    if stale:
        edited[REWARD] = stale
    return refined


def _flags(columns: Columns, name: str, steps: int) -> BoolArray:
    if name not in columns:
        return np.zeros(steps, dtype=np.bool_)
    return np.asarray(columns[name], dtype=np.bool_).reshape(steps)


def _outcome(columns: Columns, terminated: BoolArray) -> Outcome | None:
    """Return what the columns say: nothing, unless somebody recorded success."""
    if SUCCESS not in columns:
        return None
    if _flags(columns, SUCCESS, len(terminated))[-1]:
        return Outcome.SUCCESS
    return Outcome.FAILURE if terminated[-1] else Outcome.TRUNCATED


def _sources(columns: Columns, facts: EpisodeFacts, steps: int) -> IntArray:
    known = {source.value: code for source, code in SOURCE_CODES.items()}
    acting = known.get(facts.source, SOURCE_CODES[ControlSource.TELEOP])
    codes = np.full(steps, acting, dtype=np.int64)
    if INTERVENTION in columns and SOURCE not in columns:
        codes[_flags(columns, INTERVENTION, steps)] = SOURCE_CODES[ControlSource.TELEOP]
    for i, name in enumerate(columns.get(SOURCE, ())):
        codes[i] = known.get(name, acting)
    return codes


def _objects(columns: Columns, steps: int) -> FloatArray | None:
    if OBJECTS not in columns:
        return None
    return np.asarray(columns[OBJECTS], dtype=np.float64).reshape(steps, -1, len(_POSE))
