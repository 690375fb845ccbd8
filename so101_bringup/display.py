"""What a person reads while a session runs: one line per event, a summary at the end. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reward_node.arm_modes import ABLE, WAY_OUT
from reward_node.progress import COUNTED
from reward_node.requests import PastEpisode
from so101.episode import EpisodeFacts, EpisodeState, Outcome
from so101.events import EpisodeEvent, Event
from so101.statistics import median, wilson_interval
from so101.status_events import LearnerStatus, RecorderStatus, SessionStatus

TITLES = {
    "demonstrations": "demonstrations",
    "sft": "fine-tuning",
    "evaluation": "evaluation",
    "rollouts": "rollouts",
    "afterwards": "afterwards",
    "manual": "episode",
}
ENDS = ("done", "stopped")
"""Phases in which a word of the session is its last."""

REPORT_EVERY = 0.1
"""Share of the training steps between two progress lines."""


@dataclass
class Tally:
    """Counts of one phase."""

    ended: int = 0
    successes: int = 0
    durations_s: list[float] = field(default_factory=list)

    def count(self, *, is_success: bool, duration_s: float) -> None:
        """Add an episode; a duration of nan is not known."""
        self.ended += 1
        self.successes += is_success
        if is_success and not math.isnan(duration_s):
            self.durations_s.append(duration_s)


@dataclass(frozen=True, kw_only=True)
class ArmWord:
    """What the ``arm/state`` topic says of a real arm.

    Attributes:
        mode: In one word.
        reason: Why, in words; may be empty.
    """

    mode: str
    reason: str

    @classmethod
    def from_event(cls, event: Event) -> "ArmWord":
        """Read the topic."""
        return cls(mode=event.message, reason=event.values.get("reason", ""))


class Display:
    """Turns events into lines."""

    def __init__(self, goals: Mapping[str, int], past: Sequence[PastEpisode] = ()) -> None:
        """Begin with what the store holds, so that a restart goes on counting.

        Args:
            goals: Phase to the number of episodes (or successful demonstrations) aimed at.
            past: Episodes in the store, oldest first; those of other phases are left alone.
        """
        self._goals = goals
        self._tallies: dict[str, Tally] = {}
        self._evaluated = ""
        self._starts: dict[str, int] = {}
        self._ended = ""
        self._reported = -1.0
        self._arm = ArmWord(mode="", reason="")
        self._learning = ("", -1, False)
        self._group: list[tuple[float, EpisodeEvent]] = []
        self.missing = 0
        self.summary: str | None = None
        self.is_complete = False
        for one in past:
            if one.facts.phase in goals and one.outcome in COUNTED:
                is_success = one.outcome is Outcome.SUCCESS
                tally = self._tallies.setdefault(self._phase_of(one.facts), Tally())
                tally.count(is_success=is_success, duration_s=one.duration_s)

    def on_episode(self, event: EpisodeEvent) -> list[str]:
        """Read the episode topic."""
        if event.state is EpisodeState.RUNNING:
            self._starts[event.facts.id] = event.stamp_ns
        elif event.state.is_end and event.facts.id != self._ended:
            self._ended = event.facts.id
            has_run = event.facts.id in self._starts
            if has_run or event.state is not EpisodeState.DISCARDED:  # else its reset was given up
                return [self._episode_line(event)]
        elif event.state is EpisodeState.IDLE and event.facts.id == "session":
            return self._on_session(event)
        return []

    def _on_session(self, event: EpisodeEvent) -> list[str]:
        if event.facts.phase not in ENDS:
            return [*self._table(), f"{'waiting':<15} {event.reason}"]
        self.summary = event.reason
        self.is_complete = event.facts.phase == "done"
        return []

    def on_session(self, status: SessionStatus) -> list[str]:
        """Read what the session has been waiting for unusually long."""
        return [f"{'waiting':<15} {status.waiting}"] if status.waiting else []

    def on_arm(self, word: ArmWord) -> list[str]:
        """Read whether the arm can move, and if not, why and what to do."""
        if word.mode in ABLE:
            word = ArmWord(mode="armed", reason="")  # holding is armed, with nothing to do
        before, self._arm = self._arm, word
        if word == before:
            return []
        because = f": {word.reason}" if word.reason else ""
        way_out = WAY_OUT.get(word.mode)
        what_to_do = f"; so101 call {way_out}" if way_out else ""
        return [f"{'arm':<15} {word.mode}{because}{what_to_do}"]

    def on_recorder(self, status: RecorderStatus) -> list[str]:
        """Read what became of a bag; only trouble is worth a line."""
        self.missing += status.missing
        if status.state == "lost":
            return [f"{status.episode}: the recording was lost: {status.reason}"]
        if status.missing:
            return [f"{status.episode}: {status.missing} messages are missing from the bag"]
        return []

    def on_learner(self, status: LearnerStatus) -> list[str]:
        """Read how far the training is."""
        what = "fine-tuning" if status.group < 0 else f"group {status.group}"
        is_read = status.phase == "loading" and bool(status.reason)
        is_new = (status.phase, status.group, is_read) != self._learning
        self._learning = (status.phase, status.group, is_read)
        if is_new and status.phase in ("loading", "judging"):
            self._reported = -1.0
        if is_new and status.phase == "failed":
            return [f"{what} failed: {status.reason}"]
        if is_new and is_read:
            return [f"{what:<15} {status.reason}"]
        if is_new and status.phase == "loading":
            return [*self._table(), f"{what:<15} reading the bags"]
        if is_new and status.phase == "trained":
            self._reported = -1.0
            return [f"{what:<15} {_result(status)}"]
        is_due = status.phase in ("training", "judging") and self._is_due(status)
        return [f"{what:<15} {_progress(status)}"] if is_due else []

    def _is_due(self, status: LearnerStatus) -> bool:
        if not status.steps:
            return False
        share = status.step / status.steps
        if not (share >= self._reported + REPORT_EVERY or share >= 1.0 > self._reported):
            return False
        self._reported = share
        return True

    def closing_lines(self) -> list[str]:
        """Say per phase how it went."""
        lines = []
        for phase, tally in self._tallies.items():
            low, high = wilson_interval(tally.successes, tally.ended)
            typical_s = median(tally.durations_s)
            duration = "" if typical_s is None else f", median {typical_s:.1f} s"
            lines.append(
                f"{TITLES.get(phase, phase):<15} {tally.successes}/{tally.ended} succeeded "
                f"(95 % {low:.2f}-{high:.2f}){duration}"
            )
        return lines

    def _table(self) -> list[str]:
        """Return the rollouts since the last table, the fastest first."""
        group, self._group = self._group, []
        group.sort(key=lambda one: one[0])
        return [
            f"{'':<15} {duration_s:5.1f} s  {end.state.value:<9} {end.facts.id}, "
            f"played at {end.facts.speed:.2f}"
            for duration_s, end in group
        ]

    def _phase_of(self, facts: EpisodeFacts) -> str:
        """Return the phase to count an episode in; what groups led to is evaluated apart."""
        phase = facts.phase
        if phase == "demonstrations" and "rollouts" in self._tallies:
            for later in ("rollouts", "afterwards"):
                self._tallies.pop(later, None)  # another supervised policy, other groups
        if phase != "evaluation":
            return phase
        phase = "afterwards" if "rollouts" in self._tallies else phase
        if facts.checkpoint != self._evaluated:
            self._evaluated = facts.checkpoint
            self._tallies.pop(phase, None)  # another checkpoint, another evaluation
        return phase

    def _episode_line(self, event: EpisodeEvent) -> str:
        phase = self._phase_of(event.facts)
        tally = self._tallies.setdefault(phase, Tally())
        start_ns = self._starts.pop(event.facts.id, None)  # None: this display came later
        duration_s = math.nan if start_ns is None else (event.stamp_ns - start_ns) * 1e-9
        if event.state is not EpisodeState.DISCARDED:
            is_success = event.state is EpisodeState.SUCCEEDED
            tally.count(is_success=is_success, duration_s=duration_s)
            if phase == "rollouts":
                self._group.append((duration_s, event))
        count = tally.successes if phase == "demonstrations" else tally.ended
        aim = self._goals.get(event.facts.phase, 0)
        goal = f"/{aim}" if count <= aim else ""  # a later round adds to what was aimed at
        reason = f"  {event.reason}" if event.reason else ""
        return (
            f"{TITLES.get(phase, phase):<15} {count:>3}{goal}  {event.facts.id:<18} "
            f"{event.state.value:<9} {duration_s:5.1f} s{reason}"
        )


def _result(status: LearnerStatus) -> str:
    text = f"checkpoint {status.checkpoint[:12]}"
    text += f", loss {status.loss:.4f}" if status.loss else ""  # nothing was trained
    return f"{text}; {status.reason}" if status.reason else text


def _progress(status: LearnerStatus) -> str:
    if status.phase == "judging":
        return f"gate: {status.step}/{status.steps} poses"
    text = f"{status.step}/{status.steps} steps"
    if status.step:
        text += f", loss {status.loss:.4f}"
    return f"{text}, {status.episodes} episodes" if status.episodes else text
