"""An episode as values: its states, its facts, its steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from so101.arrays import BoolArray, Float32Array, FloatArray, IntArray
from so101.errors import ConfigError
from so101.observation import Observation


class EpisodeState(str, Enum):
    """What the ``episode`` topic says."""

    IDLE = "idle"
    RESETTING = "resetting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TRUNCATED = "truncated"
    DISCARDED = "discarded"

    @property
    def is_end(self) -> bool:
        """Tell whether the episode is over."""
        return self in _ENDS


_ENDS = frozenset(
    {
        EpisodeState.SUCCEEDED,
        EpisodeState.FAILED,
        EpisodeState.TRUNCATED,
        EpisodeState.DISCARDED,
    }
)


class Outcome(str, Enum):
    """How an episode ended. Truncated is not failed: bootstrapping is allowed."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRUNCATED = "truncated"
    DISCARDED = "discarded"
    INCOMPLETE = "incomplete"


class ControlSource(str, Enum):
    """Who is in control, highest priority first."""

    ESTOP = "estop"
    TELEOP = "teleop"
    MOTION = "motion"
    POLICY = "policy"
    HOLD = "hold"


SOURCE_CODES = {source: code for code, source in enumerate(ControlSource)}
"""Integer code of each control source in the columns of an `Episode`."""


@dataclass(frozen=True, kw_only=True)
class EpisodeFacts:
    """What is known about an episode besides its streams: the values of the ``episode`` topic.

    Attributes:
        id: Unique name, also the name of its bag.
        phase: Session phase it belongs to (demonstrations, sft, evaluation, rollouts, manual).
        task: Name of the task; in bags of other software its words.
        instruction: What a policy is told to do, in words; empty where the task is all there is.
        source: Who acted at the start (policy, teleop).
        group: Group number of a rollout; -1 outside groups.
        rollout: Number within the group or phase.
        checkpoint: sha256 of the policy's weights; empty for demonstrations.
        seed: Seed of start pose and noise.
        start_pose: Name of the start region, or a pose.
        speed: Playback factor of the policy's chunks.
        operator: Who watched.
    """

    id: str
    phase: str = "manual"
    task: str = ""
    instruction: str = ""
    source: str = "policy"
    group: int = -1
    rollout: int = 0
    checkpoint: str = ""
    seed: int = 0
    start_pose: str = ""
    speed: float = 1.0
    operator: str = ""

    @property
    def words(self) -> str:
        """What policies are told, live and in training: the instruction, or else the task."""
        return self.instruction or self.task

    @property
    def drawn_from(self) -> int:
        """Return the seed where something is to be drawn from it.

        Raises:
            ConfigError: It is negative, which no generator takes.
        """
        if self.seed < 0:
            raise ConfigError(f"episode {self.id[:60]!r}: seed {self.seed} is negative")
        return self.seed


@dataclass(frozen=True, kw_only=True)
class Step:
    """One policy tick of an episode.

    Attributes:
        observation: What was seen at the tick.
        action: The goal in force one period later: what was executed [rad]. Shape (joints,).
        planned: The chunk in force at the tick as its source planned it [rad], or None.
            Shape (horizon, joints).
        native_action: The policy's own numbers for the chunk, or None.
        wish: What the human asked for [rad], or None. Shape (joints,).
        source: Who was in control.
        reward: Reward of this tick.
        terminated: The task is over here (success or failure).
        truncated: The episode was cut here (time limit, e-stop, abort).
        is_first: First step of the episode.
        is_last: Last step of the episode.
        aux: Named arrays that the configured algorithm asked the policy to record.
    """

    observation: Observation
    action: FloatArray
    planned: FloatArray | None = None
    native_action: FloatArray | None = None
    wish: FloatArray | None = None
    source: ControlSource = ControlSource.POLICY
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    is_first: bool = False
    is_last: bool = False
    aux: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StreamReport:
    """How one stream of an episode was joined.

    Attributes:
        stream: Topic name.
        messages: Messages in the bag.
        rate_hz: Messages per second over the episode.
        mean_age_s: Mean age of the samples used [s].
        max_age_s: Largest age of the samples used [s].
        missing: Ticks without a sample within the age and skew limits; of a trajectory, those
            rejected.
        dropped: Messages that were sent and not recorded where the bag says how many were sent;
            else those that the stream's own period leaves room for.
        gaps: Silences of more than one and a half of its periods, between its messages.
        longest_gap_s: The longest of them [s]; 0 without one.
        skewed: Of the missing, ticks with an image that was too much older than another camera's.
    """

    stream: str
    messages: int
    rate_hz: float
    mean_age_s: float
    max_age_s: float
    missing: int
    dropped: int = 0
    gaps: int = 0
    longest_gap_s: float = 0.0
    skewed: int = 0


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode in columns, one row per policy tick, images still compressed.

    Attributes:
        facts: What is known about it.
        outcome: How it ended; None while unlabelled.
        stamps_ns: Policy ticks [ns]. Shape (steps,).
        positions: Measured [rad]. Shape (steps, joints).
        velocities: Measured [rad/s]. Shape (steps, joints).
        effort: Estimated [N·m]. Shape (steps, joints).
        commands: Goal in force just before each tick [rad]. Shape (steps, joints).
        actions: Goal in force one period after each tick [rad]. Shape (steps, joints).
        sources: `SOURCE_CODES` of who was in control. Shape (steps,).
        rewards: Shape (steps,).
        terminated: Shape (steps,).
        truncated: Shape (steps,).
        objects: Object poses (simulation only), shape (steps, objects, 7), or None.
        images: Camera id to one JPEG per tick; None where the sample is missing.
        planned: Observation stamp [ns] to the chunk its source planned [rad], (horizon, joints).
        aux: Named arrays that the policy was asked to give out, by observation stamp [ns]; every
            one has shape (rows, columns).
        wishes: What the human asked for [rad], NaN where nothing. Shape (steps, joints).
        labels: Sidecar values that came late, such as an advantage.
        values: Numbers per tick that came late, by name; NaN where there is none. Shape (steps,).
        reports: One per stream.
        is_gap: Ticks at which a stream was missing; sequences never cross them. Shape (steps,).
    """

    facts: EpisodeFacts
    outcome: Outcome | None
    stamps_ns: IntArray
    positions: FloatArray
    velocities: FloatArray
    effort: FloatArray
    commands: FloatArray
    actions: FloatArray
    sources: IntArray
    rewards: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    objects: FloatArray | None = None
    images: Mapping[str, tuple[bytes | None, ...]] = field(default_factory=dict)
    planned: Mapping[int, FloatArray] = field(default_factory=dict)
    aux: Mapping[str, Mapping[int, Float32Array]] = field(default_factory=dict)
    wishes: FloatArray | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, FloatArray] = field(default_factory=dict)
    reports: tuple[StreamReport, ...] = ()
    is_gap: BoolArray | None = None

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.stamps_ns)

    @property
    def duration_s(self) -> float:
        """Time from the first to the last tick [s]."""
        return float(self.stamps_ns[-1] - self.stamps_ns[0]) * 1e-9 if len(self) else 0.0

    def interventions(self) -> Iterator[tuple[int, int]]:
        """Yield the (first, past-last) step of every stretch in which a human was in control."""
        human = self.sources == SOURCE_CODES[ControlSource.TELEOP]
        edges = np.flatnonzero(np.diff(np.concatenate(([0], human.astype(np.int8), [0]))))
        yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
