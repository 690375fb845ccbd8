"""How well each stream of an episode was recorded, and whether that is good enough."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from so101.arrays import FloatArray, IntArray
from so101.clock import seconds
from so101.config import option
from so101.data.episodes.timeline import Timeline
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

_TRAJECTORIES = (POLICY_TRAJECTORY.name, TELEOP_TRAJECTORY.name)


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """When an episode is refused. Every limit holds for each of its streams."""

    max_command_age_s: float = option(0.1, "longest silence of the arm loop [s]", range=(0, 10))
    max_missing: float = option(
        0.05, "refuse when a stream misses a larger part of the ticks", range=(0.0, 1.0)
    )
    max_dropped: float = option(
        0.5, "refuse when a larger part of a stream's messages was lost", range=(0.0, 1.0)
    )
    max_gap_s: float = option(
        1.0, "refuse when a stream is silent for longer in its midst [s]", range=(0.0, 1e6)
    )
    min_rate_hz: float = option(5.0, "refuse when a stream is slower [Hz]", range=(0.0, 1e3))
    max_mean_age_s: float = option(
        0.1, "refuse when the samples of a stream are older on average [s]", range=(0.0, 10.0)
    )
    min_steps: int = option(2, "refuse shorter episodes [ticks]", range=(1, 1e6))


def stream_reports(
    timeline: Timeline,
    span_ns: tuple[int, int],
    rows: Sequence[JoinedTick | Waiting],
    actions: FloatArray,
    joining: ObservationConfig,
    lost: Mapping[str, int],
) -> tuple[StreamReport, ...]:
    """Report on every stream of an episode.

    Args:
        timeline: The bag's messages.
        span_ns: First and last stamp of the episode [ns].
        rows: Joined samples by tick, or what was missing.
        actions: Executed actions [rad], NaN where none is known. Shape (steps, joints).
        joining: The streams that were joined.
        lost: Messages known to be lost by topic.
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
        missing = sum(_is_missing(row, name) for row in rows)
        report = _report(name, timeline.stamps(name), span_ns, ages, missing)
        reports.append(replace(report, skewed=sum(_is_skewed(row, name) for row in rows)))
    silent = int(np.isnan(actions).any(axis=1).sum())
    commands = timeline.stamps(JOINT_COMMANDS.name)
    reports.append(_report(JOINT_COMMANDS.name, commands, span_ns, [], silent))
    for topic in _TRAJECTORIES:
        asked = [one.stamp_ns for one in timeline.trajectories[topic]]
        rejected = timeline.rejected[topic]
        if asked or rejected:
            stamps = np.array(asked, dtype=np.int64)
            report = _report(topic, stamps, span_ns, [], rejected)
            # A source has no period of its own: between two plans it need not say anything.
            reports.append(replace(report, dropped=0, gaps=0, longest_gap_s=0.0))
    return tuple(replace(r, dropped=lost.get(r.stream, r.dropped)) for r in reports)


def _is_missing(row: JoinedTick | Waiting, name: str) -> bool:
    return row.stream == name if isinstance(row, Waiting) else name not in row.stamps_ns


def _is_skewed(row: JoinedTick | Waiting, name: str) -> bool:
    return isinstance(row, JoinedTick) and name in {image_topic(c).name for c in row.skewed}


def check_quality(
    reports: Iterable[StreamReport], ticks: int, quality: QualityConfig, where: str
) -> None:
    """Refuse an episode that was not recorded well enough.

    Args:
        reports: Of its streams.
        ticks: Its length.
        quality: The limits.
        where: The episode, for the error message.

    Raises:
        BagError: A stream breaks a limit; the message names stream, reason and limit.
    """
    if not ticks:
        raise BagError(f"{where}: has no policy tick")
    joined = [report for report in reports if report.stream not in _TRAJECTORIES]
    for report in sorted(joined, key=lambda report: report.missing, reverse=True):
        reason = _broken_limit(report, ticks, quality)
        if reason:
            held = f"{report.messages} messages at {report.rate_hz:.1f} Hz"
            raise BagError(f"{where}: {report.stream}: {reason}; {held}")


def _broken_limit(report: StreamReport, ticks: int, quality: QualityConfig) -> str:
    """Return which limit a stream breaks, and how; empty when it breaks none."""
    sent = report.messages + report.dropped
    if report.missing > quality.max_missing * ticks:
        allowed = f"max_missing {quality.max_missing:g}"
        lag = f" (at {report.skewed} too far behind another camera)" if report.skewed else ""
        return f"missing at {report.missing} of {ticks} ticks{lag}, more than {allowed} of them"
    if report.dropped > quality.max_dropped * sent:
        allowed = f"max_dropped {quality.max_dropped:g}"
        return f"lost {report.dropped} of {sent} messages, more than {allowed} of them"
    if report.longest_gap_s > quality.max_gap_s:
        return f"silent for {report.longest_gap_s:.3f} s, max_gap_s is {quality.max_gap_s:g}"
    if report.messages > 1 and report.rate_hz < quality.min_rate_hz:
        return f"{report.rate_hz:.2f} Hz, min_rate_hz is {quality.min_rate_hz:g}"
    if report.mean_age_s > quality.max_mean_age_s:
        allowed = f"max_mean_age_s is {quality.max_mean_age_s:g}"
        return f"{report.mean_age_s:.3f} s old on average, {allowed}"
    return ""


def _report(
    name: str, stamps: IntArray, span_ns: tuple[int, int], ages: Sequence[int], missing: int
) -> StreamReport:
    inside = np.sort(stamps[(span_ns[0] <= stamps) & (stamps <= span_ns[1])])
    length_ns = int(inside[-1] - inside[0]) if len(inside) > 1 else 0
    dropped, gaps, longest_ns = _silences(inside)
    return StreamReport(
        stream=name,
        messages=len(inside),
        rate_hz=(len(inside) - 1) / seconds(length_ns) if length_ns else 0.0,
        mean_age_s=seconds(sum(ages)) / len(ages) if ages else 0.0,
        max_age_s=seconds(max(ages)) if ages else 0.0,
        missing=missing,
        dropped=dropped,
        gaps=gaps,
        longest_gap_s=seconds(longest_ns),
    )


def _silences(stamps: IntArray) -> tuple[int, int, int]:
    """Return how many messages a stream's own period leaves room for, its gaps, the longest [ns].

    Args:
        stamps: Sorted [ns].
    """
    steps = np.diff(np.unique(stamps))
    if len(steps) < 2:  # a single step is no period
        return 0, 0, 0
    period = float(np.median(steps))
    silent = steps[steps > 1.5 * period]
    dropped = int((np.rint(silent / period) - 1).sum())
    return dropped, len(silent), int(silent.max(initial=0))
