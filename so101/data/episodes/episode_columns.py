"""Columns of an episode that do not come from the join: actions, sources, rewards, plans, wishes.

Pure functions over stamped values; ticks are policy ticks in ascending order.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from so101.arrays import Float32Array, FloatArray, IntArray
from so101.clock import POLICY_GRID
from so101.control.trajectory import JointTrajectory
from so101.episode import SOURCE_CODES, ControlSource
from so101.events import ControlEvent, RewardEvent


def next_ticks(ticks: IntArray) -> IntArray:
    """Return the policy tick after each tick [ns]. Shape (steps,)."""
    stamps = [POLICY_GRID.stamp(POLICY_GRID.floor(tick) + 1) for tick in ticks.tolist()]
    return np.array(stamps, dtype=np.int64)


def executed_actions(
    ticks: IntArray, stamps: IntArray, commands: FloatArray, max_age_ns: int
) -> FloatArray:
    """Return the command in force one period after each tick [rad]. Shape (steps, joints).

    Args:
        ticks: Policy ticks [ns]. Shape (steps,).
        stamps: Sorted stamps of the commands [ns]. Shape (commands,).
        commands: [rad]. Shape (commands, joints).
        max_age_ns: The arm loop commands at 60 Hz; behind a longer silence the row is NaN [ns].
    """
    due = next_ticks(ticks)
    at = np.searchsorted(stamps, due, side="right") - 1
    actions = np.full((len(ticks), commands.shape[1]), np.nan)
    known = at >= 0
    known[known] = due[known] - stamps[at[known]] <= max_age_ns
    actions[known] = commands[at[known]]
    return actions


def source_codes(
    ticks: IntArray, changes: Sequence[ControlEvent], default: ControlSource
) -> IntArray:
    """Return who was in control at each tick. Shape (steps,).

    Args:
        ticks: Policy ticks [ns].
        changes: Control events.
        default: Who was in control before the first of them.
    """
    ordered = sorted(changes, key=lambda change: change.stamp_ns)
    stamps = np.array([change.stamp_ns for change in ordered], dtype=np.int64)
    codes = np.array([SOURCE_CODES[s] for s in (default, *(c.source for c in ordered))])
    found: IntArray = codes[np.searchsorted(stamps, ticks, side="right")]
    return found


def reward_columns(
    ticks: IntArray, rewards: Sequence[RewardEvent]
) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return reward and termination of each step: what its action led to. Shapes (steps,).

    A reward stamped with a tick judges the world at that tick, so it belongs to the step before.
    """
    values = np.zeros(len(ticks))
    terminated = np.zeros(len(ticks), dtype=np.bool_)
    if not len(ticks):
        return values, terminated
    last = int(next_ticks(ticks[-1:])[0])
    for event in {event.stamp_ns: event for event in rewards}.values():
        at = int(np.searchsorted(ticks, event.stamp_ns, side="left")) - 1
        if at >= 0 and event.stamp_ns <= last:
            values[at] += event.reward
            terminated[at] |= event.terminated
    return values, terminated


def planned_chunks(
    trajectories: Mapping[ControlSource, Sequence[JointTrajectory]],
    changes: Sequence[ControlEvent],
    span_ns: tuple[int, int],
    default: ControlSource,
) -> dict[int, FloatArray]:
    """Return the chunks that were in control, by observation stamp.

    Its source was in control as it was observed, or got control with this chunk: before its last
    point, and before the source planned the next one.

    Args:
        trajectories: What each source asked for.
        changes: Control events.
        span_ns: First stamp of the episode, and its end [ns]: what was planned at the end, while
            its source had not heard of it, is no part of the episode.
        default: Who was in control before the first control event.
    """
    chunks: dict[int, FloatArray] = {}
    for source, asked in trajectories.items():
        inside = [t for t in asked if span_ns[0] <= t.stamp_ns < span_ns[1]]
        stamps = np.array([t.stamp_ns for t in inside], dtype=np.int64)
        codes = source_codes(stamps, changes, default)
        begins = np.array([c.stamp_ns for c in changes if c.source is source], dtype=np.int64)
        following = [*stamps[1:].tolist(), span_ns[1]][: len(inside)]
        for trajectory, code, next_ns in zip(inside, codes, following, strict=True):
            ends_ns = min(next_ns, trajectory.stamp_ns + trajectory.times_ns[-1])
            gets_it = ((begins > trajectory.stamp_ns) & (begins < ends_ns)).any()
            if code == SOURCE_CODES[source] or gets_it:
                chunks[trajectory.stamp_ns] = trajectory.positions
    return dict(sorted(chunks.items()))


def within(
    tables: Mapping[int, Float32Array], span_ns: tuple[int, int]
) -> dict[int, Float32Array]:
    """Return the tables of an episode's observations, by stamp [ns], in their order."""
    return {stamp: tables[stamp] for stamp in sorted(tables) if span_ns[0] <= stamp < span_ns[1]}


def wishes(ticks: IntArray, asked: Sequence[JointTrajectory], joints: int) -> FloatArray | None:
    """Return where the human wanted the arm one period after each tick [rad], NaN where nowhere.

    Shape (steps, joints), or None when no human asked for anything. Between the points of the
    newest trajectory the wish is on the straight line; behind its last point there is none.
    """
    if not asked:
        return None
    ordered = sorted(asked, key=lambda trajectory: trajectory.stamp_ns)
    stamps = np.array([trajectory.stamp_ns for trajectory in ordered], dtype=np.int64)
    wished = np.full((len(ticks), joints), np.nan)
    newest = np.searchsorted(stamps, ticks, side="right") - 1
    for row, (due, at) in enumerate(zip(next_ticks(ticks).tolist(), newest.tolist(), strict=True)):
        if at < 0:
            continue
        trajectory = ordered[at]
        offset = due - trajectory.stamp_ns
        times = np.array(trajectory.times_ns, dtype=np.float64)
        if offset <= times[-1]:
            wished[row] = [np.interp(offset, times, column) for column in trajectory.positions.T]
    return wished
