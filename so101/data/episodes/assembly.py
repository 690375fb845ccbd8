"""One episode in columns from stamped values, wherever they were recorded.

Uses the very builder that joins live, fed in the order in which the messages arrived.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from so101.arrays import BoolArray, FloatArray, IntArray
from so101.clock import CONTROL_GRID, POLICY_GRID, nanoseconds
from so101.data.episodes.episode_columns import (
    executed_actions,
    planned_chunks,
    reward_columns,
    source_codes,
    wishes,
    within,
)
from so101.data.episodes.stream_reports import QualityConfig, check_quality, stream_reports
from so101.data.episodes.timeline import Sample, Timeline
from so101.episode import ControlSource, Episode, EpisodeFacts, Outcome, StreamReport
from so101.errors import BagError
from so101.streams import JoinedTick, ObservationBuilder, ObservationConfig, Waiting
from so101.topics import CONTROL_SOURCE, JOINT_STATES, POLICY_TRAJECTORY, REWARD, TELEOP_TRAJECTORY

_MAX_STEPS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Which part of a recording is an episode.

    Attributes:
        facts: What is known about it.
        start_ns: Stamp from which it ran [ns].
        end_ns: Stamp at which it ended [ns].
        outcome: How it ended; None when the recording does not say.
        lost: Messages that are known to have been sent and not recorded, by relative topic name.
    """

    facts: EpisodeFacts
    start_ns: int
    end_ns: int
    outcome: Outcome | None
    lost: Mapping[str, int] = field(default_factory=dict)


def assemble_episode(
    timeline: Timeline,
    recorded: Recorded,
    joining: ObservationConfig,
    quality: QualityConfig | None = None,
) -> Episode:
    """Join an episode and refuse it when it misses too much.

    Args:
        timeline: Stamped values in the order in which they arrived.
        recorded: Which part of them is the episode.
        joining: How its streams belong together.
        quality: When it is refused.

    Raises:
        BagError: A stream misses too much, or hardly a tick is whole.
    """
    joined = _join(timeline, recorded, joining, quality or QualityConfig())
    rows = [row if isinstance(row, JoinedTick) else None for row in joined.rows]
    ticks = joined.ticks
    changes = timeline.events[CONTROL_SOURCE.name]
    first = _first_source(recorded.facts.source)
    span_ns = (recorded.start_ns, recorded.end_ns)
    teleop = timeline.trajectories[TELEOP_TRAJECTORY.name]
    policy = timeline.trajectories[POLICY_TRAJECTORY.name]
    asked = {ControlSource.POLICY: policy, ControlSource.TELEOP: teleop}
    rewards, terminated = reward_columns(ticks, timeline.events[REWARD.name])
    terminated[-1] |= recorded.outcome in (Outcome.SUCCESS, Outcome.FAILURE)
    return Episode(
        facts=recorded.facts,
        outcome=recorded.outcome,
        stamps_ns=ticks,
        **_joint_columns(rows, len(joining.joints)),
        actions=joined.actions,
        sources=source_codes(ticks, changes, first),
        rewards=rewards,
        terminated=terminated,
        truncated=(np.arange(len(ticks)) == len(ticks) - 1) & ~terminated,
        objects=_objects(rows) if joining.uses_objects else None,
        images=_images(rows, joining.cameras),
        planned=planned_chunks(asked, changes, span_ns, first),
        aux={name: within(tables, span_ns) for name, tables in timeline.aux.items()},
        wishes=wishes(ticks, teleop, len(joining.joints)),
        reports=joined.reports,
        is_gap=joined.is_gap,
    )


@dataclass(frozen=True, kw_only=True)
class _Joined:
    """The ticks of an episode and what was found for them; one entry per tick."""

    ticks: IntArray
    rows: list[JoinedTick | Waiting]
    actions: FloatArray
    is_gap: BoolArray
    reports: tuple[StreamReport, ...]


def _join(
    timeline: Timeline, recorded: Recorded, joining: ObservationConfig, quality: QualityConfig
) -> _Joined:
    _check_length(timeline, recorded, joining, quality)
    ticks, rows = join_ticks(timeline, recorded, joining)
    stamps, commands = timeline.commands(len(joining.joints))
    actions = executed_actions(ticks, stamps, commands, nanoseconds(quality.max_command_age_s))
    span_ns = (recorded.start_ns, recorded.end_ns)
    reports = stream_reports(timeline, span_ns, rows, actions, joining, recorded.lost)
    where = f"episode {recorded.facts.id}"
    check_quality(reports, len(ticks), quality, where)
    absent = np.array([isinstance(row, Waiting) or bool(row.missing) for row in rows])
    is_gap = absent | np.isnan(actions).any(axis=1)
    whole = np.flatnonzero(~is_gap)
    if len(whole) < quality.min_steps:
        raise BagError(f"{where}: min_steps: {len(whole)} whole ticks, need {quality.min_steps}")
    kept = slice(int(whole[0]), int(whole[-1]) + 1)  # at its ends a stream may not be there yet
    return _Joined(
        ticks=ticks[kept],
        rows=rows[kept],
        actions=actions[kept],
        is_gap=is_gap[kept],
        reports=reports,
    )


def _check_length(
    timeline: Timeline, recorded: Recorded, joining: ObservationConfig, quality: QualityConfig
) -> None:
    """Refuse, before every tick is looked at, what is far too long for its few messages."""
    ticks = POLICY_GRID.ceil(recorded.end_ns) - POLICY_GRID.ceil(recorded.start_ns)
    stamps = timeline.stamps(JOINT_STATES.name)
    inside = int(((recorded.start_ns <= stamps) & (stamps <= recorded.end_ns)).sum())
    per_message = 2 + POLICY_GRID.ceil(nanoseconds(joining.max_joint_age_s))
    if ticks - inside * per_message > quality.max_missing * ticks:
        raise BagError(
            f"episode {recorded.facts.id}: {JOINT_STATES.name}: {inside} messages for {ticks} "
            f"ticks, max_missing is {quality.max_missing:g}"
        )


def join_ticks(
    timeline: Timeline, recorded: Recorded, config: ObservationConfig
) -> tuple[IntArray, list[JoinedTick | Waiting]]:
    """Join every policy tick of an episode, each as soon as a live builder would have.

    Returns:
        The ticks [ns], and per tick the joined samples or what was missing.

    Raises:
        BagError: The episode is longer than any could be.
    """
    first = POLICY_GRID.ceil(recorded.start_ns)
    past = POLICY_GRID.ceil(recorded.end_ns)
    if past - first > _MAX_STEPS:
        raise BagError(f"episode {recorded.facts.id}: {past - first} ticks")
    ticks = [POLICY_GRID.stamp(index) for index in range(first, past)]
    joining = _Joining(config, recorded.start_ns, ticks)
    latest_ns = recorded.end_ns + nanoseconds(1.0)
    for sample in timeline.samples:
        if sample.topic in joining.topics and recorded.start_ns <= sample.stamp_ns <= latest_ns:
            joining.feed(sample)
    return np.array(ticks, dtype=np.int64), joining.finish()


class _Joining:
    """Joins tick after tick when a live source would have."""

    def __init__(self, config: ObservationConfig, start_ns: int, ticks: list[int]) -> None:
        self._builder = ObservationBuilder(config)
        self._builder.reset(start_ns)
        self.topics = frozenset(self._builder.topics)
        self._ticks = ticks
        self._rows: list[JoinedTick | Waiting] = []
        self._newest_ns = 0
        self._is_stale = False

    def feed(self, sample: Sample) -> None:
        """Take a sample, and join every tick that waited for it."""
        topic, value, stamp_ns, arrival_ns = sample
        self._builder.feed(topic, value, stamp_ns, arrival_ns)
        if topic == JOINT_STATES.name:
            self._newest_ns = max(self._newest_ns, stamp_ns)
        if len(self._rows) == len(self._ticks):
            return
        # An older sample cannot be the one that the next tick waits for.
        first_ns = self._ticks[len(self._rows)] - CONTROL_GRID.stamp(1) - 1
        if self._is_stale or stamp_ns >= first_ns:
            self._join()

    def finish(self) -> list[JoinedTick | Waiting]:
        """Join the remaining ticks from what there is."""
        rest = self._ticks[len(self._rows) :]
        return [*self._rows, *(self._builder.join(tick_ns) for tick_ns in rest)]

    def _join(self) -> None:
        while len(self._rows) < len(self._ticks):
            tick_ns = self._ticks[len(self._rows)]
            if self._builder.pending(tick_ns) is not None:
                return
            row = self._builder.join(tick_ns)
            # Until its successor is due, a source waits for what comes late.
            self._is_stale = isinstance(row, Waiting) and not self._is_over(tick_ns)
            if self._is_stale:
                return
            self._rows.append(row)

    def _is_over(self, tick_ns: int) -> bool:
        return POLICY_GRID.floor(self._newest_ns) > POLICY_GRID.floor(tick_ns)


def _first_source(name: str) -> ControlSource:
    try:
        return ControlSource(name)
    except ValueError:
        return ControlSource.HOLD


def _joint_columns(rows: Sequence[JoinedTick | None], joints: int) -> dict[str, Any]:
    values = {
        "positions": [row.joints.positions if row else None for row in rows],
        "velocities": [row.joints.velocities if row else None for row in rows],
        "effort": [row.joints.effort if row else None for row in rows],
        "commands": [row.command if row else None for row in rows],
    }
    return {name: _stack(column, (joints,)) for name, column in values.items()}


def _images(
    rows: Sequence[JoinedTick | None], cameras: Sequence[str]
) -> dict[str, tuple[bytes | None, ...]]:
    return {c: tuple(row.images.get(c) if row else None for row in rows) for c in cameras}


def _objects(rows: Sequence[JoinedTick | None]) -> FloatArray:
    """Stack object poses; a tick at which their number differs from the first is NaN."""
    poses = [row.objects if row else None for row in rows]
    shape = next((p.shape for p in poses if p is not None), (0, 7))
    return _stack([p if p is not None and p.shape == shape else None for p in poses], shape)


def _stack(values: Sequence[FloatArray | None], shape: tuple[int, ...]) -> FloatArray:
    stacked = np.full((len(values), *shape), np.nan)
    for row, value in enumerate(values):
        if value is not None:
            stacked[row] = value
    return stacked
