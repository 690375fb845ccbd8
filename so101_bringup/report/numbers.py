"""The figures of a run, and how failures enter each of them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from learner_node.lineage import ALGORITHM as GROUP_ALGORITHM
from reward_node.params import RewardParams
from so101.arrays import FloatArray
from so101.episode_plan import run_seed_of
from so101.groups.advantage import effective_durations
from so101.groups.rollout import Ended
from so101.groups.summary import change, first_and_last, paired, summary, typical_duration
from so101_bringup.report.values import SHORT, Attempt, Ending, Run, Trained

PERCENTILES = (25, 50, 75)


@dataclass(frozen=True, kw_only=True)
class Group:
    """The rollouts of one group and what was trained after it.

    Attributes:
        number: Of the group, from 0.
        rollouts: In their order.
        candidates: Checkpoints trained after it.
    """

    number: int
    rollouts: tuple[Attempt, ...]
    candidates: tuple[Trained, ...] = ()

    @property
    def successes(self) -> int:
        """Number of rollouts that succeeded."""
        return sum(rollout.is_success for rollout in self.rollouts)

    @property
    def is_promoted(self) -> bool:
        """A checkpoint trained after it passed the gate."""
        return any(one.verdict is not None and one.verdict.is_accepted for one in self.candidates)

    @property
    def is_judged(self) -> bool:
        """The gate judged a checkpoint trained after it."""
        return any(one.verdict is not None for one in self.candidates)


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A checkpoint on the poses that results are reported on.

    Attributes:
        checkpoint: What was evaluated.
        attempts: Its episodes, by seed.
    """

    checkpoint: Trained
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Before against after on the starts that both were tried from.

    Attributes:
        starts: How many.
        won: Only the later policy succeeded.
        lost: Only the earlier one did.
    """

    starts: int
    won: int
    lost: int


@dataclass(frozen=True)
class Report:
    """The figures of a run.

    Attributes:
        run: What they are taken from.
    """

    run: Run

    @cached_property
    def limit_s(self) -> float:
        """Time limit of a rollout [s]: what those took that ran into it, else the default."""
        over_time = [r.duration_s for r in self.run.rollouts if r.ending is Ending.OVER_TIME]
        return max(over_time, default=RewardParams().time_limit)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups, ascending."""
        return tuple(
            Group(
                number=number,
                rollouts=tuple(rollouts),
                candidates=tuple(one for one in self.run.checkpoints if one.group == number),
            )
            for number, rollouts in groupby(self.run.rollouts, key=lambda r: r.facts.group)
        )

    @cached_property
    def before(self) -> Evaluated | None:
        """The supervised policy that the rollouts began with; None where it was not evaluated."""
        acted = {rollout.facts.checkpoint for rollout in self.run.rollouts}
        supervised = [one for one in self.run.checkpoints if one.algorithm != GROUP_ALGORITHM]
        began = [one for one in supervised if one.sha256 in acted] or supervised
        return self._evaluated(began[0]) if began else None

    @cached_property
    def after(self) -> Evaluated | None:
        """The promoted policy, or the newest evaluated one after the supervised; None without."""
        later = [one for one in self.run.checkpoints if one.algorithm == GROUP_ALGORITHM]
        promoted = [one for one in self.run.checkpoints if one.is_promoted]
        for one in (*promoted, *reversed(later)):
            if found := self._evaluated(one):
                return found
        return None

    @property
    def paired(self) -> Paired | None:
        """Before against after, start by start; None where they share no start."""
        if self.before is None or self.after is None:
            return None
        before = {one.facts.seed: one for one in self.before.attempts}
        after = {one.facts.seed: one for one in self.after.attempts}
        both = sorted(before.keys() & after.keys())
        if not both:
            return None
        counts = paired([before[seed] for seed in both], [after[seed] for seed in both])
        return Paired(starts=len(both), **counts)

    @property
    def change(self) -> float | None:
        """After / before - 1 of the median duration of successes; None where one is missing."""
        if self.before is None or self.after is None:
            return None
        return change(self.before.attempts, self.after.attempts)

    @property
    def first_and_last_s(self) -> tuple[float, float]:
        """Median duration of the first and the last two groups, failures as the limit [s]."""
        return first_and_last([group.rollouts for group in self.groups], self.limit_s)

    @property
    def robot_minutes(self) -> float:
        """What all rollouts took together, failures as long as they were [min]."""
        return sum(rollout.duration_s for rollout in self.run.rollouts) / 60.0

    @property
    def seed(self) -> int:
        """Run seed."""
        return run_seed_of(self.run.rollouts[0].facts.seed)

    @property
    def playback(self) -> float | None:
        """Speed factor that before and after were run at; None where there is not exactly one."""
        evaluated = [one for one in (self.before, self.after) if one is not None]
        speeds = {attempt.facts.speed for one in evaluated for attempt in one.attempts}
        return speeds.pop() if len(speeds) == 1 else None

    def to_mapping(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        first_s, last_s = self.first_and_last_s
        return {
            "groups": [self._group(group) for group in self.groups],
            "before": None if self.before is None else summary(self.before.attempts),
            "after": None if self.after is None else summary(self.after.attempts),
            "checkpoints": {
                "before": None if self.before is None else self.before.checkpoint.name,
                "after": None if self.after is None else self.after.checkpoint.name,
            },
            "change": self.change,
            "first2_median_s": first_s,
            "last2_median_s": last_s,
            "rollouts": len(self.run.rollouts),
            "robot_minutes": self.robot_minutes,
            "seed": self.seed,
            "playback": self.playback,
            "notes": notes(self.limit_s),
        }

    def _group(self, group: Group) -> dict[str, Any]:
        return {
            "group": group.number,
            "n": len(group.rollouts),
            "successes": group.successes,
            "median_duration_s": typical_duration(group.rollouts, self.limit_s),
            "promoted": group.is_promoted,
        }

    def _evaluated(self, checkpoint: Trained) -> Evaluated | None:
        attempts = self.run.evaluations.get(checkpoint.sha256[:SHORT], ())
        return Evaluated(checkpoint=checkpoint, attempts=attempts) if attempts else None


def notes(limit_s: float) -> dict[str, str]:
    """Say how failures enter each figure, by its name in the JSON."""
    as_limit = f"a rollout that did not succeed counts as the time limit of {limit_s:g} s"
    return {
        "successes": "of n; n counts every episode that ended: successes, failures and those cut "
        "short, such as by the time limit; discarded ones are not counted",
        "median_duration_s": f"of all rollouts of the group; {as_limit}",
        "promoted": "a checkpoint trained after the group passed the gate",
        "median_success_duration_s": "of the successes alone: failures are not in it, see "
        "successes and n",
        "checkpoints": "that before and after are evaluations of, on the same poses; the same "
        "one twice where no later one is promoted",
        "change": "after / before - 1 of the median duration of the successes: failures are not "
        "in it, see successes and n",
        "first2_median_s": f"of all rollouts of the first two groups, speed exploration "
        f"included; {as_limit}",
        "last2_median_s": f"of all rollouts of the last two groups, speed exploration included; "
        f"{as_limit}",
        "rollouts": "that ended, failures included; discarded ones are not",
        "robot_minutes": "of those rollouts, failures as long as they really were; resets, "
        "demonstrations, evaluations and the gate's trials are not in it",
        "playback": "speed factor that before and after were run at; rollouts explore others",
    }


def smoothed_percentiles(groups: Sequence[Sequence[Ended]], limit_s: float) -> FloatArray:
    """Return percentiles of the duration over each group and its two neighbours [s].

    Args:
        groups: Rollouts of each group, in order.
        limit_s: Time limit; a rollout that did not succeed counts as long as that [s].

    Returns:
        The 25th, 50th and 75th percentile. Shape (groups, 3).
    """
    durations = [effective_durations(group, limit_s) for group in groups]
    pooled = [np.concatenate(durations[max(0, i - 1) : i + 2]) for i in range(len(durations))]
    return np.array([np.percentile(one, PERCENTILES) for one in pooled])
