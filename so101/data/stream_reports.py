"""How well each stream of an episode was recorded, and whether that is good enough."""

from collections.abc import Iterable, Sequence

import numpy as np

from so101.arrays import FloatArray
from so101.clock import seconds
from so101.data.timeline import Timeline
from so101.episode import StreamReport
from so101.errors import BagError
from so101.streams import JoinedTick, ObservationConfig, Waiting
from so101.topics import (
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    POLICY_TRAJECTORY,
    TELEOP_TRAJECTORY,
    image_topic,
)


def stream_reports(
    timeline: Timeline,
    span_ns: tuple[int, int],
    rows: Sequence[JoinedTick | Waiting],
    actions: FloatArray,
    joining: ObservationConfig,
) -> tuple[StreamReport, ...]:
    """Report on every stream of an episode.

    Args:
        timeline: The bag's messages.
        span_ns: First and last stamp of the episode [ns].
        rows: Joined samples by tick, or what was missing.
        actions: Executed actions [rad], NaN where none is known. Shape (steps, joints).
        joining: The streams that were joined.
    """
    names = [JOINT_STATES.name, *(image_topic(camera).name for camera in joining.cameras)]
    if joining.uses_objects:
        names.append(OBJECTS.name)
    reports = []
    for name in names:
        ages = [
            row.stamp_ns - row.stamps_ns[name]
            for row in rows
            if isinstance(row, JoinedTick) and name in row.stamps_ns
        ]
        stamps = timeline.stamps(name).tolist()
        missing = sum(_is_missing(row, name) for row in rows)
        reports.append(_report(name, stamps, span_ns, ages, missing))
    silent = int(np.isnan(actions).any(axis=1).sum())
    commands = timeline.stamps(JOINT_COMMANDS.name).tolist()
    reports.append(_report(JOINT_COMMANDS.name, commands, span_ns, [], silent))
    for topic in (POLICY_TRAJECTORY.name, TELEOP_TRAJECTORY.name):
        asked = [one.stamp_ns for one in timeline.trajectories[topic]]
        rejected = timeline.rejected[topic]
        if asked or rejected:
            reports.append(_report(topic, asked, span_ns, [], rejected))
    return tuple(reports)


def _is_missing(row: JoinedTick | Waiting, name: str) -> bool:
    return row.stream == name if isinstance(row, Waiting) else name not in row.stamps_ns


def check_quality(
    reports: Iterable[StreamReport], ticks: int, max_missing: float, where: str
) -> None:
    """Refuse an episode that misses too much.

    Args:
        reports: Of its streams.
        ticks: Its length.
        max_missing: Largest allowed part of ticks without a sample.
        where: Bag and episode, for the error message.

    Raises:
        BagError: A stream misses more; the message names the worst.
    """
    if not ticks:
        raise BagError(f"{where}: has no policy tick")
    joined = [report for report in reports if not report.stream.endswith("joint_trajectory")]
    worst = max(joined, key=lambda report: report.missing)
    if worst.missing > max_missing * ticks:
        raise BagError(
            f"{where}: {worst.stream}: missing at {worst.missing} of {ticks} ticks, "
            f"{worst.messages} messages at {worst.rate_hz:.1f} Hz"
        )


def _report(
    name: str, stamps: Sequence[int], span_ns: tuple[int, int], ages: Sequence[int], missing: int
) -> StreamReport:
    inside = [stamp for stamp in stamps if span_ns[0] <= stamp <= span_ns[1]]
    length_ns = max(inside) - min(inside) if len(inside) > 1 else 0
    return StreamReport(
        stream=name,
        messages=len(inside),
        rate_hz=(len(inside) - 1) / seconds(length_ns) if length_ns else 0.0,
        mean_age_s=seconds(sum(ages)) / len(ages) if ages else 0.0,
        max_age_s=seconds(max(ages)) if ages else 0.0,
        missing=missing,
    )
