"""Group-relative advantages and which episodes are trained on. Pure.

Source: Qiu 2025, "group-relative REINFORCE" on pi0 and an SO-101: groups of n = 10 rollouts, the
advantage of rollout i is 1 where it is chosen and 0 where not. `median` is that report's first,
automatic rule (which diverged), `gated` and `manual` its second, `zscore` the normalised form of
GRPO (Shao et al. 2024, arXiv:2402.03300).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from so101.arrays import FloatArray
from so101.errors import ConfigError, SessionError
from so101.groups.rollout import DEMONSTRATION, Ended, RatedRollout
from so101.statistics import median

Rule = Literal["median", "gated", "manual", "zscore"]
Pool = Literal["group", "all", "regate", "retime"]
_SMALLEST_SPREAD_S = 1e-3
_LARGEST_SCORE = 5.0
_SLOWEST, _FASTEST = 0.5, 3.0
"""Bounds of the factor at which an episode is read."""


def effective_durations(rollouts: Sequence[Ended], limit_s: float) -> FloatArray:
    """Return durations in which every failure counts as the time limit [s]. Shape (rollouts,)."""
    return np.array([r.duration_s if r.is_success else limit_s for r in rollouts])


def tighten(
    standard_s: float | None,
    rollouts: Sequence[RatedRollout],
    *,
    quantile: float = 0.5,
    window: int = 20,
) -> float | None:
    """Return the running standard: a quantile of the newest good durations, never above the old.

    Args:
        standard_s: The standard so far [s]; None before the first.
        rollouts: Every rollout so far, oldest first.
        quantile: Of the good durations.
        window: How many of them, the newest, count.
    """
    good = [r.duration_s for r in rollouts if r.is_good][-window:]
    if not good:
        return standard_s
    newest = float(np.quantile(good, quantile))
    return newest if standard_s is None else min(standard_s, newest)


def advantages(
    rule: Rule,
    group: Sequence[RatedRollout],
    *,
    standard_s: float | None,
    limit_s: float,
    negative_bound: float = 0.25,
) -> FloatArray:
    """Return the advantage of every rollout of a group. Shape (rollouts,).

    Args:
        rule: ``median``: 1 where the duration is at most the group's median. ``gated``: 1 where
            the rollout is good and at most as long as the standard. ``manual``: what people gave.
            ``zscore``: (mean - duration) / standard deviation, at most 5, its negative part
            scaled so that no value is below ``-negative_bound``: pushed away without bound, a
            squared error diverges.
        group: Its rollouts; failures count as ``limit_s`` long where durations are compared.
        standard_s: The running standard [s]; only ``gated`` needs it, None lets all pass.
        limit_s: Time limit of a rollout [s].
        negative_bound: Largest size of a negative advantage.

    Raises:
        SessionError: ``manual``, and somebody has not rated a rollout.
        ConfigError: The rule is unknown.
    """
    durations = effective_durations(group, limit_s)
    match rule:
        case "median":
            chosen: FloatArray = (durations <= np.median(durations)).astype(np.float64)
            return chosen
        case "gated":
            most = np.inf if standard_s is None else standard_s
            return np.array([float(r.is_good and r.duration_s <= most) for r in group])
        case "manual":
            if missing := [r.episode for r in group if r.advantage is None]:
                raise SessionError(f"not rated yet: {', '.join(missing)}")
            return np.array([r.advantage for r in group], dtype=np.float64)
        case "zscore":
            return _normalised(durations, negative_bound)
    raise ConfigError(f"rule {rule!r} is unknown")


def pooled(
    pool: Pool,
    history: Sequence[tuple[RatedRollout, float]],
    *,
    standard_s: float | None,
) -> Mapping[str, float]:
    """Return the episodes to train on and their advantages.

    Args:
        pool: ``group``: those of the newest group. ``all``: those of every group so far.
            ``regate``: every good episode, demonstrations included, that meets today's standard.
            ``retime``: every good episode; `paces` says how fast each is read.
        history: Every episode so far with the advantage it was given; demonstrations have 0.
        standard_s: Today's standard [s]; None lets all pass.
    """
    if pool in ("regate", "retime"):
        most = np.inf if standard_s is None or pool == "retime" else standard_s
        return {r.episode: 1.0 for r, _ in history if r.is_good and r.duration_s <= most}
    newest = max((r.group for r, _ in history), default=DEMONSTRATION)
    return {
        r.episode: advantage
        for r, advantage in history
        if advantage != 0.0 and r.group > DEMONSTRATION and (pool == "all" or r.group == newest)
    }


def target_duration(
    group: Sequence[RatedRollout], *, standard_s: float | None, step: float
) -> float | None:
    """Return the duration that the next policy should aim at [s]; None where nothing was good.

    A little below the acting policy's own, and never below the standard: the standard follows the
    fastest rollouts, and a policy that is made to meet it at once loses more than it gains.

    Args:
        group: The newest group; at speed 1 its rollouts would have taken speed times as long.
        standard_s: Today's standard [s].
        step: Share of its own duration that a policy may be made faster by.
    """
    own = median([r.duration_s * r.speed for r in group if r.is_good])
    if own is None or standard_s is None:
        return standard_s
    return max(standard_s, (1.0 - step) * own)


def paces(rollouts: Sequence[RatedRollout], target_s: float | None) -> Mapping[str, float]:
    """Return the factor at which each episode's actions are read to take as long as the target.

    Few rollouts are as fast as the target, and a policy trained on few forgets the starts it saw
    only in slower ones; and one that sees several paces at once learns none. Read at its own
    factor, every success teaches the same pace.

    Args:
        rollouts: The episodes.
        target_s: What they should take [s]; None leaves all as they are.
    """
    if target_s is None:
        return {r.episode: 1.0 for r in rollouts}
    return {
        r.episode: float(np.clip(r.duration_s / target_s, _SLOWEST, _FASTEST)) for r in rollouts
    }


def _normalised(durations: FloatArray, negative_bound: float) -> FloatArray:
    spread = durations.std()
    if spread < _SMALLEST_SPREAD_S:
        return np.zeros(len(durations))
    scores: FloatArray = np.clip(
        (durations.mean() - durations) / spread, -_LARGEST_SCORE, _LARGEST_SCORE
    )
    lowest = scores.min()
    if lowest < -negative_bound:
        scores[scores < 0.0] *= negative_bound / -lowest
    return scores
