"""The update gate: is a candidate fit to act? Pure; evidence in, verdict out.

A candidate is compared pose by pose with the policy that acts now, and its success with that of
the supervised policy everything began with: a chain of small, each time excusable losses must not
add up. In simulation all three are tried on the same fixed poses; on a robot the rollouts of the
next group stand for the candidate's, paired by their number.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from so101.config import option
from so101.errors import ConfigError
from so101.groups.advantage import effective_durations
from so101.groups.rollout import RatedRollout
from so101.groups.summary import paired
from so101.statistics import median, paired_interval

GateBy = Literal["poses", "next_group", "nothing"]


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """What a candidate must show."""

    poses: int = option(80, "Fixed poses that every candidate is tried on.", range=(1, 10_000))
    margin: float = option(
        0.0, "Success share it may lose against the supervised policy.", range=(0.0, 1.0)
    )
    by: GateBy = option(
        "poses",
        "poses: tried in simulation before it acts; next_group: by its first rollouts; "
        "nothing: taken as is",
    )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate decided, and why.

    Attributes:
        is_accepted: The candidate may act.
        reasons: Why not; empty when accepted.
        evidence: The numbers it rests on, ready for JSON.
    """

    is_accepted: bool
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_mapping(self) -> dict[str, Any]:
        """Return it ready for training.json."""
        return {
            "accepted": self.is_accepted,
            "reasons": list(self.reasons),
            "evidence": dict(self.evidence),
        }

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Verdict":
        """Read it from training.json, the inverse of `to_mapping`; other keys are left alone.

        Raises:
            ConfigError: It lacks a value, or one is not of its kind.
        """
        try:
            is_accepted, reasons = values["accepted"], values["reasons"]
            evidence = dict(values["evidence"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"gate: no verdict: {error!r}") from error
        if not isinstance(is_accepted, bool) or not isinstance(reasons, list):
            raise ConfigError(f"gate: no verdict: accepted={is_accepted!r}, reasons={reasons!r}")
        return cls(is_accepted=is_accepted, reasons=tuple(map(str, reasons)), evidence=evidence)


THE_SUPERVISED = Verdict(is_accepted=True, evidence={"gate": "the supervised policy"})
"""On the policy that everything is measured against; nothing is written of it."""
NOT_JUDGED = Verdict(
    is_accepted=False, reasons=("the accepted policy acted again: there was nothing to judge",)
)


def as_planned(rollouts: Sequence[RatedRollout]) -> list[RatedRollout]:
    """Return rollouts as long as they would have been at speed 1.

    Groups are played at different factors; without them they can be compared.
    """
    return [replace(r, duration_s=r.duration_s * r.speed, speed=1.0) for r in rollouts]


def time_until_done(rollouts: Sequence[RatedRollout], limit_s: float) -> float:
    """Return the mean time until the task is done when a failure is followed by another try [s].

    With success share p and mean duration d, failures counted as the time limit, tries follow a
    geometric distribution: the mean is d / p. Infinite where nothing succeeds.
    """
    share = _successes(rollouts) / len(rollouts)
    return float(effective_durations(rollouts, limit_s).mean()) / share if share else math.inf


def judge(
    candidate: Sequence[RatedRollout],
    current: Sequence[RatedRollout],
    anchor: Sequence[RatedRollout],
    *,
    margin: float,
    limit_s: float,
) -> Verdict:
    """Judge a candidate.

    It is accepted when (1) it succeeds at most ``ceil(margin * n)`` times less often than the
    supervised policy, and (2) it needs less time until the task is done than the acting policy
    does from the same starts (`time_until_done`). The evidence pairs them pose by pose: poses won
    and lost against the acting policy with the 95 % interval of the change, the ratio of durations
    where both succeeded.

    Args:
        candidate: Its rollouts.
        current: Those of the acting policy from the same starts, in the same order.
        anchor: Those of the supervised policy, likewise.
        margin: Success share that may be lost against the anchor.
        limit_s: Time limit of a rollout [s].

    Raises:
        ConfigError: There is no rollout, or not the same number of each.
    """
    n = len(candidate)
    if n == 0 or len(current) != n or len(anchor) != n:
        raise ConfigError(
            f"gate: cannot pair {n} rollouts of the candidate with {len(current)} of the acting "
            f"and {len(anchor)} of the supervised policy"
        )
    needed_s, before_s = (time_until_done(tried, limit_s) for tried in (candidate, current))
    reasons = tuple(_why_not(candidate, anchor, margin, needed_s=needed_s, before_s=before_s))
    evidence = _evidence(candidate, current, anchor, needed_s=needed_s, before_s=before_s)
    return Verdict(is_accepted=not reasons, reasons=reasons, evidence=evidence)


def _why_not(
    candidate: Sequence[RatedRollout],
    anchor: Sequence[RatedRollout],
    margin: float,
    *,
    needed_s: float,
    before_s: float,
) -> Iterator[str]:
    """Yield what speaks against a candidate: successes lost, time not gained."""
    n = len(candidate)
    lost, allowed = _successes(anchor) - _successes(candidate), math.ceil(margin * n)
    if lost > allowed:
        yield f"{lost} successes fewer than the supervised policy on {n} poses, allowed {allowed}"
    if not needed_s < before_s:
        yield f"{needed_s:.2f} s until done, the acting policy needs {before_s:.2f} s"


def _successes(rollouts: Sequence[RatedRollout]) -> int:
    return sum(r.is_success for r in rollouts)


def _evidence(
    candidate: Sequence[RatedRollout],
    current: Sequence[RatedRollout],
    anchor: Sequence[RatedRollout],
    *,
    needed_s: float,
    before_s: float,
) -> dict[str, Any]:
    """Return successes, times, and what was won and lost against the acting policy per pose."""
    pairs = paired(current, candidate)
    interval = paired_interval(pairs["won"], pairs["lost"], len(candidate))
    return {
        "poses": len(candidate),
        "successes": _successes(candidate),
        "successes_acting": _successes(current),
        "successes_supervised": _successes(anchor),
        "time_until_done_s": needed_s if math.isfinite(needed_s) else None,
        "time_until_done_acting_s": before_s if math.isfinite(before_s) else None,
        "median_success_duration_s": median([r.duration_s for r in candidate if r.is_success]),
        "poses_won": pairs["won"],
        "poses_lost": pairs["lost"],
        "success_change_95": list(interval),
        "duration_ratio": _duration_ratio(candidate, current),
    }


def _duration_ratio(
    candidate: Sequence[RatedRollout], current: Sequence[RatedRollout]
) -> float | None:
    """Return the median ratio of durations where both succeeded, None where they never did."""
    return median(
        [
            new.duration_s / old.duration_s
            for new, old in zip(candidate, current, strict=True)
            if new.is_success and old.is_success
        ]
    )
